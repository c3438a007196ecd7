"""What status tells of records in doubt and of records that are opened again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batcher.core.verdict import Outcome
from batcher.flow.ledger.commit import Commit
from batcher.sandbox import Sandbox
from tests.again.bad_day import RUN, Script, bad_day, resubmit, settle
from tests.again.here import Here
from tests.e2e.program import lines, record
from tests.e2e.servers import Background
from tests.flow.ledgers import opened
from tests.places import tampering

WHAT_TO_DO = (
    "find out what became of them and tell it with veetro-batch settle ledger --line N --applied or --not-applied, "
    "or send them again with veetro-batch resubmit ledger --in-doubt resend"
)
MANY = ("one", "two", "--ledger=ledger", "--in-doubt=hold", "--order-by=SourceID,Source", *RUN)


@pytest.fixture
def service(background: Background) -> Iterator[Sandbox]:
    """A service that is well, unless it is told otherwise."""
    with background.sandbox() as running:
        yield running


def status(program: Here) -> tuple[list[str], dict[str, Any]]:
    """For people, without the heading, and for programs."""
    text = program.run("status", "ledger").out.decode().splitlines()
    [heading] = [number for number, line in enumerate(text) if line.startswith("  in doubt ")]
    return text[heading + 1 :], json.loads(program.run("status", "ledger", "--json").out)


def kept(number: int, outcome: Outcome) -> Commit:
    """A commit of one record that was not delivered."""
    line = b'{"line":%d,"outcome":"%s","key":"S","error":{"kind":"timeout"}}\n' % (number, outcome.value.encode())
    return Commit(
        records={outcome: {number: 0}}, results=[line], results_of=[number], rejects=[line], rejects_of=[number]
    )


def damage(program: Here, *statements: str) -> None:
    """Do to the ledger what no run does; ``?`` is what cannot be unpacked."""
    with tampering(program.places.of("ledger")) as rows:
        for statement in statements:
            rows.execute(statement, [b"\0"] * statement.count("?"))


def fail(service: Sandbox, *faults: str | None) -> None:
    """What the next requests meet."""
    service._draw = Script(faults)  # type: ignore[assignment] # as Draw


def test_what_is_in_doubt_now_is_named(program: Here, service: Sandbox) -> None:
    """Neither what a person has settled nor what is opened again; of several doubts the last one counts."""
    bad_day(program, service)
    text, told = status(program)
    assert text == [
        "in doubt:",
        '  line 3, key "S-3": connection_lost',
        '  line 4, key "S-4": connection_lost',
        '  line 5, key "S-5": connection_lost',
        WHAT_TO_DO,
        "0 records without one may have been sent",
        "left: 0 records (the input was read to its end)",
    ]
    named = {"line": 3, "key": "S-3", "kind": "connection_lost"}
    assert told["in_doubt_lines"] == [named, named | {"line": 4, "key": "S-4"}, named | {"line": 5, "key": "S-5"}]
    settle(program, "--line=3", "--applied")
    settle(program, "--line=5", "--not-applied")
    text, told = status(program)
    assert text == [
        "in doubt:",
        '  line 4, key "S-4": connection_lost',
        WHAT_TO_DO,
        "0 records without one may have been sent",
        "1 record opened again, to be sent once more",
        "left: 1 record (the input was read to its end)",
        "what is opened again is sent by the same command, or by veetro-batch resubmit ledger",
    ]
    assert (told["reopened"], told["in_doubt_lines"]) == (1, [named | {"line": 4, "key": "S-4"}])
    fail(service, "client", "client", None, "gateway")
    assert resubmit(program, service).code == 4
    text, told = status(program)
    assert text[:2] == ["in doubt:", '  line 5, key "S-5": gateway']
    assert (told["reopened"], told["open_intents"]) == (0, 0)


def test_five_of_many_are_named(program: Here, service: Sandbox) -> None:
    """The first ones by their place; how many more there are, and where they stand, is told; with their inputs."""
    for name, count in (("one", 2), ("two", 6)):
        made = (record(number, SourceID=f"{name}-{number}", Source="a\nb") for number in range(1, count + 1))
        (program.directory / name).write_bytes(lines(*made))
    fail(service, "reset", "reset", None, "reset", "reset", "reset", "reset", "reset")
    assert program.run(*MANY, "--endpoint", service.url).code == 4
    text, told = status(program)
    assert text[:7] == [
        "in doubt:",
        '  line 1 of one, key ["one-1","a\\nb"]: connection_lost',
        '  line 2 of one, key ["one-2","a\\nb"]: connection_lost',
        '  line 2 of two, key ["two-2","a\\nb"]: connection_lost',
        '  line 3 of two, key ["two-3","a\\nb"]: connection_lost',
        '  line 4 of two, key ["two-4","a\\nb"]: connection_lost',
        "  and 2 more: veetro-batch results ledger | grep -F in_doubt",
    ]
    assert told["outcomes"]["in_doubt"] == 7
    assert told["in_doubt_lines"][2] == {"line": 2, "input": "two", "key": ["two-2", "a\nb"], "kind": "connection_lost"}


def test_only_what_holds_a_named_record_is_unpacked(program: Here) -> None:
    """Nothing where none is in doubt: a big ledger is not read through for five lines; the rest may be unreadable."""
    with opened(program.places.of("ledger"), create=True) as store:
        for number, outcome in enumerate((Outcome.REJECTED, Outcome.IN_DOUBT, Outcome.REJECTED), 1):
            store.commit(kept(number, outcome))
    damage(program, "UPDATE lines SET results = ?", "UPDATE lines SET rejects = ? WHERE id != 2")
    assert status(program)[1]["in_doubt_lines"] == [{"line": 2, "key": "S", "kind": "timeout"}]
    damage(program, "UPDATE record SET outcome = 'rejected'", "UPDATE lines SET rejects = ?, rejects_of = ?")
    assert status(program)[1]["in_doubt_lines"] == []


def test_a_ledger_without_the_line_is_damaged(program: Here, service: Sandbox) -> None:
    """It is told so, and no line is made up."""
    bad_day(program, service)
    damage(program, "UPDATE record SET outcome = 'in_doubt' WHERE ordinal = 6")
    done = program.run("status", "ledger")
    assert (done.code, done.out) == (9, b"")
    assert "the ledger ledger is damaged: it lacks a rejects line" in done.err
