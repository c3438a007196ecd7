"""A person's word on records in doubt, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from batcher.flow.ledger.access import hold
from batcher.sandbox import Sandbox
from tests.again.bad_day import (
    COMMAND,
    INVALID,
    RUN,
    Script,
    applied,
    in_order,
    proved,
    resubmit,
    settle,
    told,
)
from tests.again.here import Here
from tests.e2e.program import lines, record


def test_a_persons_word(program: Here, folder: Path, service: Sandbox) -> None:
    """What was applied is delivered without being sent; what was not is sent by the same command again."""
    done = settle(program, "--line=3,4", "--applied")
    assert (done.code, done.err) == (0, "")
    assert b"line 3, connection_lost: delivered" in done.out
    assert b"2 records settled as applied" in done.out
    assert settle(program, "--line=5", "--not-applied").code == 0
    assert program.run("verify", "ledger", "records.ndjson").out.endswith(
        b"  no outcome, and opened again: 1 (line 5)\n"
    )
    assert program.run(*COMMAND, "--endpoint", service.url).code == 3
    assert applied(service) == {3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1}
    assert told(folder) == {1: "rejected", 2: "rejected", INVALID: "invalid"}
    found = {entry["line"]: entry for entry in in_order(folder / "results.ndjson")}
    assert found[3]["settled"] == "applied"
    assert "result" not in found[3]
    assert found[3]["origin"] == {"line": 3, "outcome": "in_doubt", "kind": "connection_lost"}
    assert found[5]["origin"] == {
        "line": 5,
        "outcome": "in_doubt",
        "kind": "connection_lost",
        "settled": "not_applied",
    }
    assert found[5]["attempts"] == 2
    assert proved(program)


def test_a_settled_record_is_resubmitted(program: Here, service: Sandbox) -> None:
    """A person's word stands whatever --in-doubt says, and is what a killed record is doubtful again without."""
    settle(program, "--line=3", "--line=5", "--not-applied")
    done = resubmit(program, service, "--in-doubt=hold")
    assert [entry["line"] for entry in done.results] == [1, 2, 3, 5, INVALID]
    assert applied(service) == {1: 1, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--line=6", "--applied"), "line 6 is not in doubt, it is delivered"),
        (("--line=3,1", "--applied"), "line 1 is not in doubt, it is rejected"),
        (("--line=99", "--applied"), "the ledger has no result of line 99"),
        (("--line=3", "--input=other", "--applied"), "no result of line 3 of other"),
        (("--line=3",), "are both missing"),
        (("--line=3", "--applied", "--not-applied"), "are given both"),
        (("--applied",), "--line: is missing"),
        (("--line=3,x", "--applied"), "'3,x' is not line numbers"),
    ],
)
def test_what_cannot_be_settled(program: Here, service: Sandbox, arguments: tuple[str, ...], words: str) -> None:
    """It is said, and nothing is changed: not even what could be settled."""
    before = program.run("status", "ledger", "--json").out
    done = settle(program, *arguments)
    assert (done.code, done.out) == (2, b"")
    assert words in done.err
    assert program.run("status", "ledger", "--json").out == before
    assert applied(service) == {3: 1, 4: 1, 6: 1, 7: 1, 8: 1}


def test_lines_of_several_inputs(program: Here, folder: Path, well: Sandbox) -> None:
    """A line number alone tells no records of two inputs apart; the new lines keep the names."""
    for number, name in enumerate(("one", "two"), 1):
        (folder / name).write_bytes(lines(record(number, ImportSyncRecordID=0)))
    well._draw = Script(["reset", "reset"])  # type: ignore[assignment] # as Draw
    run = ("one", "two", "--ledger=ledger", "--endpoint", well.url, *RUN)
    assert program.run(*run).code == 4
    done = settle(program, "--line=1", "--not-applied")
    assert done.code == 2
    assert "several inputs have a line 1: one, two; say which with --input NAME" in done.err
    assert settle(program, "--line=1", "--input=two", "--applied").code == 0
    done = resubmit(program, well, "--in-doubt=resend")
    assert done.code == 0
    assert [(entry["input"], entry["origin"]["input"]) for entry in done.results] == [("one", "one")]
    assert well.stats().applied == {"S-1": 1}
    assert proved(program, "one", "two")


def test_not_while_a_run_writes(program: Here, service: Sandbox) -> None:
    """Neither settle nor resubmit touches a ledger that another run has."""
    with hold(program.places.of("ledger")):
        done = settle(program, "--line=3", "--applied")
        assert done.code == 8
        assert "a run is writing the ledger ledger: settle its records once it has ended" in done.err
        assert resubmit(program, service).code == 8
    assert applied(service) == {3: 1, 4: 1, 6: 1, 7: 1, 8: 1}
    assert settle(program, "--line=3", "--applied").code == 0
