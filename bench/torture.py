"""Kill the program again and again, resume it, and see whether it kept its promises.

Kills with SIGKILL at random instants while faults are on, runs the same command again each time, and in the end
compares three witnesses: the sandbox, which knows what was really applied, the results file, and the ledger.

A run is killed a random few milliseconds after a random number of its requests reached the sandbox. That number is
drawn anew for each run, so that the kills that are left spread over the records that are left: all kills happen,
however fast the machine is. Every fifth run is killed while it begins.

With ``--ledger postgresql`` the ledger is in a database of its own, which is restarted as after a crash in the midst of
every fifth run or so, before that is killed.

A record is *lost* if it has no result line, or is called delivered and was never applied. It is *doubled* if it has two
result lines, or was applied twice although its id is 0 and nobody allowed that it is sent twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
from aiohttp import web

from batcher.errors import LedgerRefused
from batcher.flow.ledger.access import open_to_read
from batcher.sandbox.faults import parse_faults
from batcher.sandbox.server import Sandbox
from batcher.sandbox.settings import SandboxSettings
from bench.records import BROKEN_EVERY, line

FAULTS = "server=1%,deadlock=0.3%,client=0.5%,reset=0.5%,reset_applied=0.5%,gateway_applied=0.2%,busy=0.02%"
LATENCY = 0.005
_RESTARTS = 0.2
"""Share of the kills before which the database is restarted."""
_TURNED_AWAY = 9
_FINISHED = frozenset({0, 3, 4})
_BEGINNING = 0.5
"""Seconds that a run needs to begin."""
_AFTER = 0.02
"""Longest time, in seconds, from the request that was waited for to the kill."""


@dataclass
class Tally:
    """What the torture has found.

    Attributes:
        kills: SIGKILLs that hit a running program.
        idle: those of them that came before the run had sent anything.
        restarts: of the database, while a run went on.
        widest: the most records that were doubtful after a kill.
        outcomes: of the result lines.
        lost: sentences, one for each record that was lost.
        doubled: sentences, one for each record that was doubled.
        broken: other promises that were not kept.
    """

    kills: int = 0
    idle: int = 0
    restarts: int = 0
    widest: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        counts = (
            f"kills {self.kills} ({self.idle} of them before the first request), lost {len(self.lost)}, "
            f"doubled {len(self.doubled)}, in doubt {self.outcomes['in_doubt']}, other {len(self.broken)}"
        )
        window = f"outcomes: {told}; at most {self.widest} records doubtful after a kill"
        if self.restarts:
            window += f"; the database was restarted {self.restarts} times under a run"
        return "\n".join([counts, window, *self.broken[:10], *self.lost[:10], *self.doubled[:10]])


class Database(Protocol):
    """Where a ledger is kept that is no file; its password is in the environment."""

    @property
    def ledger(self) -> str:
        """The address of the ledger."""
        ...

    def restart(self) -> None:
        """Restart it as after a crash."""
        ...


@contextlib.contextmanager
def served() -> Iterator[Database]:
    """A database with a ledger that is not there yet."""
    # Only where it is asked for: it needs psycopg.
    from tests.postgresql.server import Served, needed, serving  # noqa: PLC0415 - as told

    with serving(needed()) as server, Served(server, lease=3) as database:
        yield database


class _Watched(Sandbox):
    """A sandbox that tells when so many more requests have come.

    The last one of them is not answered until `release`: a run that is to be killed then does not end before.
    """

    received = 0
    _awaited = 0
    _come: asyncio.Future[None] | None = None
    _released: asyncio.Event | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request; called by aiohttp."""
        self.received += 1
        if self.received == self._awaited and self._come is not None and self._released is not None:
            if not self._come.done():
                self._come.set_result(None)
            await self._released.wait()
        return await super().answer(request)

    def after(self, requests: int) -> asyncio.Future[None]:
        """Done when so many more requests have come."""
        self._awaited = self.received + requests
        self._come = asyncio.get_running_loop().create_future()
        self._released = self._released or asyncio.Event()
        return self._come

    def release(self) -> None:
        """Answer what was not answered, and all that comes."""
        self._awaited = 0
        if self._released is not None:
            self._released.set()
            self._released = None


def torture(records: int, kills: int, seed: int, folder: Path, database: Database | None = None) -> Tally:
    """Run the program over *records*, kill it *kills* times, and check what is left.

    With a *database* the ledger is there, and it is restarted now and then while a run goes on.
    """
    with (folder / "records.ndjson").open("wb") as file:
        file.writelines(map(line, range(1, records + 1)))
    tally = Tally()
    ledger = str(folder / "ledger") if database is None else database.ledger
    applied = asyncio.run(_torture(records, kills, seed, folder, tally, database))
    if tally.kills < kills:
        tally.broken.append(f"the run ended after {tally.kills} of {kills} kills")
    _judge(records, applied, folder, ledger, tally)
    return tally


async def _torture(
    records: int, kills: int, seed: int, folder: Path, tally: Tally, database: Database | None
) -> Mapping[str, int]:
    """Run, kill and resume until a run comes to its end; what was applied, by SourceID."""
    chance = random.Random(seed)
    ledger = str(folder / "ledger") if database is None else database.ledger
    left = records - records // BROKEN_EVERY
    settings = SandboxSettings(latency=LATENCY, faults=parse_faults(FAULTS), seed=seed)
    async with _Watched(settings) as sandbox:
        while True:
            process = await _start(folder, sandbox.url, ledger)
            before = sandbox.received
            instant = _instant(sandbox, chance, left, kills - tally.kills)
            restarted = False
            lives = await _lives_until(instant, process)
            if lives and database is not None and chance.random() < _RESTARTS:
                await asyncio.to_thread(database.restart)
                tally.restarts += 1
                restarted = True
                # It may be killed before it has noticed, or while it waits, or a good while later.
                more = sandbox.after(max(1, int(chance.uniform(0, 0.5 / (kills - tally.kills + 1)) * left)))
                lives = await _lives_until(asyncio.wait([more], timeout=chance.uniform(0, 0.5)), process)
            if lives:
                process.kill()
                await process.communicate()
                sandbox.release()
                tally.kills += 1
                tally.idle += sandbox.received == before
                left = _left(records, ledger, tally)
                continue
            _, said = await process.communicate()
            if restarted and process.returncode == _TURNED_AWAY and sandbox.received == before:
                continue  # it began in the moment in which there was no database
            if process.returncode not in _FINISHED:
                tally.broken.append(f"exit {process.returncode}: {said.decode()[-500:]}")
            return sandbox.stats().applied


async def _start(folder: Path, url: str, ledger: str) -> Process:
    command = [
        *("-m", "batcher", str(folder / "records.ndjson"), "--endpoint", url, "--progress", "off"),
        *("--ledger", ledger, "--ledger-wait", "600", "--results", str(folder / "results.ndjson")),
        *("--rejects", str(folder / "rejects.ndjson"), "--log-level", "error", "--stop-after", "none"),
    ]
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=DEVNULL, stderr=PIPE)


async def _instant(sandbox: _Watched, chance: random.Random, left: int, kills: int) -> None:
    """Return at a random instant: *kills* of these spread over the *left* records. Never where none are left."""
    if not kills:
        await asyncio.Event().wait()
    enough = sandbox.after(max(1, int(chance.uniform(0, min(2 / (kills + 1), 0.9)) * left)))
    early = chance.uniform(0, _BEGINNING) if chance.random() < 0.2 else None
    await asyncio.wait([enough], timeout=early)
    await asyncio.sleep(chance.uniform(0, _AFTER))


async def _lives_until(instant: Any, process: Process) -> bool:
    """Whether *process* still runs when *instant* has come."""
    ends = {asyncio.ensure_future(process.wait()), asyncio.ensure_future(instant)}
    _, pending = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in pending:
        end.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return process.returncode is None


def _left(records: int, ledger: str, tally: Tally) -> int:
    """Records that have no outcome yet and are not doubtful; notes how many are."""
    try:
        store = open_to_read(ledger)
    except LedgerRefused:  # it was killed before it had begun
        return records
    doubtful, ended = len(store.doubtful()), sum(store.counts().values())
    store.close()
    tally.widest = max(tally.widest, doubtful)
    return records - ended - doubtful


def _judge(records: int, applied: Mapping[str, int], folder: Path, ledger: str, tally: Tally) -> None:
    seen: Counter[int] = Counter()
    for result in _results(folder / "results.ndjson"):
        seen[result["line"]] += 1
        _judge_result(result, applied.get(f"S-{result['line']}", 0), tally)
    tally.lost += [f"line {number} has no result" for number in range(1, records + 1) if not seen[number]]
    tally.doubled += [f"line {number} has {count} results" for number, count in seen.items() if count > 1]
    store = open_to_read(ledger)
    if left := store.doubtful():
        tally.broken.append(f"{len(left)} records are still open in the ledger")
    counts = {outcome.value: count for outcome, count in store.counts().items() if count}
    if counts != dict(tally.outcomes):
        tally.broken.append(f"the ledger counts {counts}, the results file {dict(tally.outcomes)}")
    store.close()


def _results(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():  # else nothing came to an end
        with path.open("rb") as file:
            yield from map(orjson.loads, file)


def _judge_result(result: dict[str, Any], times: int, tally: Tally) -> None:
    """Compare what a result line says with how many *times* its record was applied."""
    number, outcome, tried = result["line"], result["outcome"], result["attempts"]
    tally.outcomes[outcome] += 1
    if outcome == "delivered" and not times:
        tally.lost.append(f"line {number} is delivered and was not applied")
    if outcome in {"rejected", "invalid"} and times:
        kind = result["error"]["kind"]
        tally.broken.append(f"line {number} is {outcome} ({kind}) after {tried} attempts and was applied {times} times")
    if times > 1 and number % 2:
        tally.doubled.append(f"line {number} has id 0 and was applied {times} times")
    if times > 1 and outcome == "delivered" and tried < 2:
        tally.broken.append(f"line {number} was applied {times} times with {tried} attempt")


def main(arguments: list[str]) -> int:
    """Torture as the arguments say; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m bench torture", description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--ledger", choices=["sqlite", "postgresql"], default="sqlite")
    chosen = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = stack.enter_context(served()) if chosen.ledger == "postgresql" else None
        tally = torture(chosen.records, chosen.kills, chosen.seed, Path(folder), database)
    print(f"seed {chosen.seed}: {chosen.records:,} records\n{tally}")
    return int(bool(tally.lost or tally.doubled or tally.broken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
