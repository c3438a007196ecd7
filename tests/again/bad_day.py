"""A first run that had a bad day: what it leaves for resubmit and settle, and how the tests look at it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from batcher.sandbox import Sandbox
from tests.e2e.program import Done, lines, record

RECORDS = 8
INVALID = RECORDS + 1
UNSAFE = {3, 5}
FAULTS = {1: "client", 2: "server", 3: "reset_applied", 4: "reset_applied", 5: "reset"}
"""By line: what the first run meets. 3 and 5 are not safe to send twice; 4 is, but the first run holds it too."""
RUN = ("--concurrency=1", "--max-attempts=1", "--progress=off")
COMMAND = ("records.ndjson", "--ledger=ledger", "--results=results.ndjson", "--rejects=rejects.ndjson", *RUN)


class Script:
    """Faults in the order of requests, and none behind them."""

    def __init__(self, kinds: Iterable[str | None]) -> None:
        self._kinds = iter(kinds)

    def next(self) -> str | None:
        return next(self._kinds, None)


def sample(number: int) -> dict[str, Any]:
    return record(number, ImportSyncRecordID=0 if number in UNSAFE else number)


class HasUrl(Protocol):
    """A service."""

    @property
    def url(self) -> str: ...


class Runs(Protocol):
    """Runs the program in *directory*: as a process, or here."""

    directory: Path

    def run(self, *arguments: str | Path, given: bytes = b"", environ: Mapping[str, str] | None = None) -> Done: ...


def write_records(folder: Path) -> None:
    """The input of the first run; its last line is no record."""
    given = lines(*(sample(number) for number in range(1, RECORDS + 1))) + b'{"unknown":1}\n'
    (folder / "records.ndjson").write_bytes(given)


def bad_day(program: Runs, running: Sandbox) -> None:
    """The first run; the service is well afterwards."""
    write_records(program.directory)
    running._draw = Script(FAULTS.get(number) for number in range(1, RECORDS + 1))  # type: ignore[assignment] # as Draw
    done = program.run(*COMMAND, "--endpoint", running.url, "--in-doubt=hold")
    assert done.code == 4, done.err
    assert told(program.directory) == {
        1: "rejected",
        2: "rejected",
        3: "in_doubt",
        4: "in_doubt",
        5: "in_doubt",
        INVALID: "invalid",
    }
    assert applied(running) == {3: 1, 4: 1, 6: 1, 7: 1, 8: 1}


def told(folder: Path) -> dict[int, str]:
    """By the results file: the last outcome of each line that was not delivered."""
    last = {entry["line"]: entry["outcome"] for entry in in_order(folder / "results.ndjson")}
    return {line: outcome for line, outcome in sorted(last.items()) if outcome != "delivered"}


def in_order(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def applied(service: Sandbox) -> dict[int, int]:
    """How often each record was applied."""
    return {int(key.removeprefix("S-")): times for key, times in service.stats().applied.items()}


def resubmit(program: Runs, service: HasUrl, *options: str, of: str = "ledger") -> Done:
    return program.run("resubmit", of, *RUN, "--endpoint", service.url, *options)


def proved(program: Runs, *given: str, of: str = "ledger") -> bool:
    """Whether verify finds every record with one final outcome."""
    done = program.run("verify", of, *(given or ("records.ndjson",)))
    assert done.code in (0, 3), done.err
    return done.code == 0


def settle(program: Runs, *arguments: str) -> Done:
    return program.run("settle", "ledger", *arguments)
