"""What was not delivered is submitted again by processes of their own, which are killed in the middle, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batcher.sandbox import Sandbox
from tests.again.bad_day import (
    COMMAND,
    INVALID,
    RECORDS,
    RUN,
    applied,
    bad_day,
    in_order,
    proved,
    resubmit,
    sample,
    settle,
    told,
)
from tests.e2e.conftest import StartRaw, StartSandbox
from tests.e2e.program import Program, lines, record
from tests.e2e.servers import Background, Held, Request, http, saved
from tests.places import Places


@pytest.fixture
def program(tmp_path: Path, places: Places) -> Iterator[Program]:
    """The program, run in a directory of its own, with either kind of ledger."""
    with closing(Program(tmp_path, places)) as started:
        yield started


@pytest.fixture
def folder(program: Program) -> Path:
    """Where the program runs."""
    return program.directory


@pytest.fixture
def service(program: Program, start_sandbox: StartSandbox) -> Sandbox:
    """A service that a first run has met on a bad day; it is well now."""
    running = start_sandbox()
    bad_day(program, running)
    return running


def test_what_is_safe_goes_and_the_rest_is_held(program: Program, folder: Path, service: Sandbox) -> None:
    """Rejected, invalid and safe ones are submitted again, once; their new lines tell where they come from."""
    done = resubmit(program, service, "--results=results.ndjson")
    assert done.code == 4
    assert "2 records in doubt held back" in " ".join(done.err.split())
    assert applied(service) == {1: 1, 2: 1, 3: 1, 4: 2, 6: 1, 7: 1, 8: 1}
    assert told(folder) == {3: "in_doubt", 5: "in_doubt", INVALID: "invalid"}
    entries = in_order(folder / "results.ndjson")
    assert len(entries) == RECORDS + 1 + 4, "a results file that the ledger knows is continued"
    found = {entry["line"]: entry for entry in entries[RECORDS + 1 :]}
    assert [line for line in found if line != INVALID] == [1, 2, 4], "in the order of the input"
    assert found[1]["origin"] == {"line": 1, "outcome": "rejected", "kind": "client_fault"}
    assert found[4]["origin"] == {"line": 4, "outcome": "in_doubt", "kind": "connection_lost"}
    assert found[INVALID]["origin"] == {"line": INVALID, "outcome": "invalid", "kind": "unknown_field"}
    assert {line: entry["attempts"] for line, entry in found.items()} == {1: 2, 2: 2, 4: 2, INVALID: 0}
    assert program.run("results", "ledger").out == (folder / "results.ndjson").read_bytes()
    assert proved(program)


def test_rejects_lines_on_standard_input(program: Program, folder: Path, service: Sandbox) -> None:
    """Corrected by hand or written anew by other tools; what is no rejects line is invalid."""
    entries = {entry["line"]: entry for entry in in_order(folder / "rejects.ndjson")}
    corrected = json.dumps({"record": sample(9)} | {k: v for k, v in entries[INVALID].items() if k != "record"})
    given = f"{corrected}\n{json.dumps(entries[1])}\nno line\n{{}}\n".encode()
    done = program.run("resubmit", "-", *RUN, "--endpoint", service.url, given=given)
    assert done.code == 3
    assert [(entry["line"], entry["outcome"]) for entry in done.results] == [
        (1, "delivered"),
        (2, "delivered"),
        (3, "invalid"),
        (4, "invalid"),
    ]
    assert applied(service) == {1: 1, 3: 1, 4: 1, 6: 1, 7: 1, 8: 1, 9: 1}
    done = resubmit(program, service, "--allow-stale", of="rejects.ndjson")
    assert done.code == 2
    assert "--allow-stale" in done.err


# Kills


class Phases(Held):
    """Refuses every record in the first run; then answers *well* requests and no more until it is released."""

    def __init__(self, background: Background, well: int) -> None:
        super().__init__(background)
        self.refusing = True
        self.left = well

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.write(http("400 Bad Request", b"no"))
        elif self.left:
            self.left -= 1
            writer.write(http("200 OK", saved(request)))
        else:
            await super().__call__(request, writer)


@pytest.mark.parametrize("command", ["resubmit", "submit"])
def test_killed_in_the_middle(
    program: Program, folder: Path, background: Background, start_raw: StartRaw, command: str
) -> None:
    """Resubmit again, or the first command again, goes on: what was answered stays, what was in flight is in doubt."""
    count, well, limit = 40, 15, 4
    given = (record(number, ImportSyncRecordID=number % 2) for number in range(1, count + 1))
    (folder / "records.ndjson").write_bytes(lines(*given))
    phases = Phases(background, well)
    service = start_raw(phases)
    options = (f"--concurrency={limit}", "--stop-after=none")
    assert program.run(*COMMAND, "--endpoint", service.url, *options).code == 3
    phases.refusing = False
    process = program.start("resubmit", "ledger", "--endpoint", service.url, *options, "--results=results.ndjson")
    service.wait_for(count + well + limit)
    program.kill(process)
    phases.release()
    done = (
        resubmit(program, service, *options, "--results=results.ndjson")
        if command == "resubmit"
        else program.run(*COMMAND, "--endpoint", service.url, *options)
    )
    assert done.code == 4
    sent = [int(key.removeprefix("S-")) for key in service.source_ids()[count:]]
    assert set(range(1, count + 1)) - set(told(folder)) <= set(sent)
    twice = {number for number in sent if sent.count(number) > 1}
    assert all(number % 2 for number in twice), "what is not safe to send twice was not"
    doubtful = told(folder)
    assert doubtful
    assert set(doubtful.values()) == {"in_doubt"}
    assert all(number % 2 == 0 for number in doubtful)
    assert len(doubtful) <= well + 3 * limit
    found = {entry["line"]: entry for entry in in_order(folder / "results.ndjson")}
    assert {entry["origin"]["outcome"] for entry in found.values()} == {"rejected"}
    assert {found[number]["error"]["kind"] for number in doubtful} == {"crash"}
    assert proved(program)
    assert program.run("results", "ledger").out == (folder / "results.ndjson").read_bytes()
    done = resubmit(program, service, *options, "--in-doubt=resend", "--results=results.ndjson")
    assert done.code == 0
    assert told(folder) == {}
    assert proved(program)


def test_a_run_that_was_killed_comes_first(
    program: Program, folder: Path, background: Background, start_raw: StartRaw
) -> None:
    """What only the input has can neither be settled nor submitted again: the first command must run once more."""
    phases = Phases(background, 1)
    phases.refusing = False
    service = start_raw(phases)
    given = (record(number, ImportSyncRecordID=0) for number in range(1, 4))
    (folder / "records.ndjson").write_bytes(lines(*given))
    process = program.start(*COMMAND, "--endpoint", service.url)
    service.wait_for(2)
    program.kill(process)
    phases.release()
    done = settle(program, "--line=2", "--applied")
    assert done.code == 2
    assert "run its command again first" in done.err
    done = resubmit(program, service, "--in-doubt=resend")
    assert done.code == 4
    assert "run the command of that run again" in " ".join(done.err.split())
    assert len(service.requests) == 2
    assert program.run(*COMMAND, "--endpoint", service.url).code == 4
    assert settle(program, "--line=2", "--applied").code == 0
    assert proved(program)
