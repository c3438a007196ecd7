"""What was not delivered is submitted again, from the ledger or from rejects lines: what goes, and what may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batcher.core.record import RecordReader
from batcher.core.result import RAW_LIMIT
from batcher.core.retry import Policy
from batcher.core.soap import VERSIONS
from batcher.core.template import Template
from batcher.flow.ledger.selection import Left, select
from batcher.operations import load
from batcher.sandbox import Sandbox
from tests.again.bad_day import (
    COMMAND,
    INVALID,
    RECORDS,
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
from tests.e2e.program import lines, read_lines, record
from tests.flow.ledgers import opened


def test_nothing_goes_twice(program: Here, folder: Path, service: Sandbox) -> None:
    """What was delivered by the first resubmit is left alone by the second one, and by the first command."""
    resubmit(program, service, "--in-doubt=resend")
    before = applied(service)
    assert before == {1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 1, 8: 1}
    done = resubmit(program, service, "--in-doubt=resend")
    assert done.code == 3
    assert [entry["line"] for entry in done.results] == [INVALID]
    assert program.run(*COMMAND, "--endpoint", service.url).code == 3
    assert applied(service) == before
    assert told(folder) == {INVALID: "invalid"}
    assert proved(program)


def test_all_can_be_held(program: Here, service: Sandbox) -> None:
    """With hold nothing goes that may have been applied; standard output gets the new lines alone."""
    done = resubmit(program, service, "--in-doubt=hold")
    assert done.code == 4
    assert "3 records in doubt held back" in " ".join(done.err.split())
    assert [(entry["line"], entry["outcome"]) for entry in done.results] == [
        (1, "delivered"),
        (2, "delivered"),
        (INVALID, "invalid"),
    ]
    assert applied(service) == {1: 1, 2: 1, 3: 1, 4: 1, 6: 1, 7: 1, 8: 1}


def test_other_files_get_the_new_lines(program: Here, folder: Path, service: Sandbox) -> None:
    """A path that the ledger does not know is this command's own, and so it is the next time."""
    for expected in ([1, 2, 4, INVALID], [INVALID]):
        assert resubmit(program, service, "--results=new.ndjson", "--rejects=still.ndjson").code == 4
        assert [entry["line"] for entry in read_lines((folder / "new.ndjson").read_bytes())] == expected
        assert [entry["line"] for entry in read_lines((folder / "still.ndjson").read_bytes())] == [INVALID]


@pytest.mark.parametrize("command", ["resubmit", "submit"])
def test_killed_before_anything_was_sent(program: Here, folder: Path, service: Sandbox, command: str) -> None:
    """Records that were opened again with leave to send them are held where that leave is not given any more."""
    template = Template(load("SetOutlookSyncRecord"), VERSIONS["1.1"], {})
    with opened(program.places.of("ledger"), write=True) as store:
        policy = Policy(in_doubt="resend")
        left = select(store, RecordReader(template, ("SourceID",)), policy, allow_stale=False)
        assert left == Left()
        assert store.reopened(1, RECORDS + 1).keys() == {1, 2, 3, 4, 5, INVALID}
        assert store.last() == RECORDS + 1
    assert not proved(program)
    results = "--results=results.ndjson"
    done = (
        resubmit(program, service, results)
        if command == "resubmit"
        else program.run(*COMMAND, "--endpoint", service.url)
    )
    assert done.code == 4
    assert applied(service) == {1: 1, 2: 1, 3: 1, 4: 2, 6: 1, 7: 1, 8: 1}
    assert told(folder) == {3: "in_doubt", 5: "in_doubt", INVALID: "invalid"}
    found = {entry["line"]: entry for entry in in_order(folder / "results.ndjson")[RECORDS + 1 :]}
    assert found[3]["attempts"] == 1
    assert found[3]["error"]["kind"] == found[3]["origin"]["kind"] == "connection_lost"
    assert proved(program)


def test_a_record_that_the_ledger_has_not_whole(program: Here, folder: Path, well: Sandbox) -> None:
    """It is told, and only the input can send it: by the first command, once it is settled as not applied."""
    (folder / "records.ndjson").write_bytes(lines(record(1, ImportSyncRecordID=0, Source="x" * RAW_LIMIT)))
    well._draw = Script(["reset"])  # type: ignore[assignment] # as Draw
    assert program.run(*COMMAND, "--endpoint", well.url).code == 4
    done = resubmit(program, well, "--in-doubt=resend", of="rejects.ndjson")
    assert done.outcomes == {"in_doubt": 1}, "it was sent once, so it is not invalid"
    for _ in range(2):
        done = resubmit(program, well, "--in-doubt=resend")
        assert done.code == 4
        assert "1 record not whole in the ledger" in " ".join(done.err.split())
        settle(program, "--line=1", "--not-applied")  # the second time it is open again already
    assert well.stats().applied == {}
    assert program.run(*COMMAND, "--endpoint", well.url).code == 0
    assert well.stats().applied == {"S-1": 1}
    assert proved(program)


def test_stale_records_are_refused(program: Here, folder: Path, well: Sandbox) -> None:
    """An older state must not replace a newer one that was delivered, unless that is asked for."""
    given = lines(*(record(number, SourceID=key) for number, key in enumerate("AABBA", 1)))
    (folder / "records.ndjson").write_bytes(given)
    well._draw = Script([None, None, "client", "client"])  # type: ignore[assignment] # lines 1, 3, 2, 4, 5
    assert program.run(*COMMAND, "--endpoint", well.url).code == 3
    done = resubmit(program, well)
    assert done.code == 3
    assert "1 record refused as stale, because a later one of the same key was delivered (line 2)" in " ".join(
        done.err.split()
    )
    assert well.stats().applied == {"A": 2, "B": 2}
    assert proved(program)
    assert resubmit(program, well, "--allow-stale").code == 0
    assert well.stats().applied == {"A": 3, "B": 2}
    assert proved(program)


@pytest.mark.parametrize("source", ["variable", "file"])
def test_leave_for_stale_records_is_a_setting(
    program: Here, folder: Path, well: Sandbox, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Environment and file give it too; submit, and resubmit of rejects lines, pass over it there."""
    shared = []
    if source == "variable":
        monkeypatch.setenv("VEETRO_BATCH_ALLOW_STALE", "true")
    else:
        (folder / "shared.toml").write_text("allow-stale = true\n")
        shared = ["--config=shared.toml"]
    given = lines(*(record(number, SourceID="A") for number in (1, 2)))
    (folder / "records.ndjson").write_bytes(given)
    well._draw = Script(["client", None])  # type: ignore[assignment] # as Draw
    first = program.run(*COMMAND, *shared, "--endpoint", well.url)
    assert (first.code, "ALLOW_STALE" in first.err) == (3, False)
    assert resubmit(program, well, *shared, "--results=none", of="rejects.ndjson").code == 0
    assert well.stats().applied == {"A": 2}
    done = resubmit(program, well, *shared)
    assert (done.code, "stale" in done.err) == (0, False)
    assert well.stats().applied == {"A": 3}
    assert proved(program)


def test_rejects_lines_need_no_leave_for_stale_records(program: Here, service: Sandbox) -> None:
    """On the command line it is an error there, for it would promise what nobody looks at; for submit it is unknown."""
    done = resubmit(program, service, "--allow-stale", of="rejects.ndjson")
    assert done.code == 2
    assert "--allow-stale: rejects lines do not tell what was delivered later" in done.err
    done = program.run(*COMMAND, "--endpoint", service.url, "--allow-stale")
    assert done.code == 2
    assert "--allow-stale: veetro-batch has no such option" in done.err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--ledger=other",), "--ledger"),
        (("--skip=1",), "--skip"),
        (("--limit=1",), "--limit"),
        (("records.ndjson",), "records.ndjson"),
    ],
)
def test_options_that_make_no_sense(program: Here, service: Sandbox, options: tuple[str, ...], word: str) -> None:
    """Records come from the ledger and go into it."""
    done = resubmit(program, service, *options)
    assert done.code == 2
    assert done.err.startswith(f"veetro-batch: error: {word}: ")


def test_the_ledger_may_be_named_twice(program: Here, service: Sandbox) -> None:
    """Settings of the run may stay as they were, where they name the same ledger."""
    assert resubmit(program, service, "--ledger=./ledger").code == 4
    assert applied(service)[1] == 1


def test_another_service_is_refused(program: Here, service: Sandbox, well: Sandbox) -> None:
    """A ledger belongs to its service."""
    assert resubmit(program, well).code == 9
    assert well.stats().requests == 0
    assert applied(service) == {3: 1, 4: 1, 6: 1, 7: 1, 8: 1}


# Rejects lines


def test_rejects_lines(program: Here, folder: Path, service: Sandbox) -> None:
    """Each carries its record: it is sent again byte by byte, or held where it may have been applied."""
    given = (folder / "rejects.ndjson").read_bytes().splitlines()
    order = [json.loads(line)["line"] for line in given]
    done = resubmit(program, service, "--rejects=still.ndjson", of="rejects.ndjson")
    assert done.code == 4
    found = {order[entry["line"] - 1]: entry for entry in done.results}
    assert {line: entry["outcome"] for line, entry in found.items()} == {
        1: "delivered",
        2: "delivered",
        3: "in_doubt",
        4: "delivered",
        5: "in_doubt",
        INVALID: "invalid",
    }
    assert found[3]["attempts"] == 1
    assert found[4]["attempts"] == 2
    assert found[3]["origin"] == {"line": 3, "outcome": "in_doubt", "kind": "connection_lost"}
    hashes = {entry["line"]: entry["hash"] for entry in in_order(folder / "results.ndjson")}
    assert {line: entry["hash"] for line, entry in found.items()} == {line: hashes[line] for line in found}
    assert applied(service) == {1: 1, 2: 1, 3: 1, 4: 2, 6: 1, 7: 1, 8: 1}
    done = resubmit(program, service, "--in-doubt=resend", of="still.ndjson")
    assert done.code == 3
    assert applied(service) == {1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 1, 8: 1}


def test_rejects_lines_with_a_ledger(program: Here, folder: Path, service: Sandbox) -> None:
    """A ledger of its own: taken up again by the same command, proved, and submitted again itself."""
    for _ in range(2):
        assert resubmit(program, service, "--ledger=second", of="rejects.ndjson").code == 4
        assert applied(service) == {1: 1, 2: 1, 3: 1, 4: 2, 6: 1, 7: 1, 8: 1}
        assert proved(program, "rejects.ndjson", of="second")
    assert program.run("rejects.ndjson", "--ledger=second", "--endpoint", service.url, *RUN).code == 9
    assert resubmit(program, service, "--in-doubt=resend", of="second").code == 3
    assert applied(service) == {1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 1, 8: 1}
    assert proved(program, "rejects.ndjson", of="second")
