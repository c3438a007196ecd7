"""The ledger's writer in a run: what is sent was declared before, what only waits is not doubtful, all else stops."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from batcher.build import Parts
from batcher.core.events import Event
from batcher.core.verdict import Outcome
from batcher.errors import ConnectFailed, ConnectionLost, OutputFailed
from batcher.flow.given import IterableSource
from batcher.flow.ledger.access import open_to_read
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.projection import Projection
from batcher.flow.ledger.store import Store
from batcher.flow.pipeline import INTERRUPTED, Ending
from batcher.flow.transport import Answer
from batcher.observe.tally import Tally
from tests.flow.ledgers import kinds_of_store, opened
from tests.flow.runs import Told, fault, good, key_in, never, record, records, saved, settings, until

LIMIT = 4
DOWN = ConnectFailed("connection refused")


pytestmark = pytest.mark.usefixtures("hurried", "no_task_is_left")


class Run:
    """A run on *ledger*, as the program makes it, with *told* in place of the network; its results go to *folder*."""

    def __init__(self, folder: Path, ledger: str, given: Iterable[Any], told: Told, **changes: Any) -> None:
        self.ledger = ledger
        self.results = folder / "results.ndjson"
        self.tally = Tally()
        self.events: list[Event] = []
        chosen = settings(ledger=ledger, **{"concurrency": LIMIT} | changes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("batcher.build.open_transport", lambda route: told)
            parts = Parts(chosen, self)
        self.kept = parts.keep_ledger(ledger, {"results": str(self.results)})
        source = IterableSource(given, max_line_bytes=chosen.max_line_bytes)
        self.pipeline = parts.pipeline(source, self.kept.writer, self.kept)

    def notice(self, event: Event, /) -> None:
        self.events.append(event)
        self.tally.notice(event)

    async def __call__(self) -> Run:
        try:
            await self.pipeline.run()
        finally:
            self.kept.close()
        assert self.kept.writer.uncommitted == 0 or 9 in self.exit_codes
        assert (self.pipeline.room.records, self.pipeline.room.size) == (0, 0)
        return self

    @property
    def exit_codes(self) -> list[int]:
        return [ending.exit_code for ending in self.pipeline.endings]

    @property
    def outcomes(self) -> dict[str, int]:
        """What the ledger holds."""
        with opened(self.ledger) as store:
            return {outcome.value: count for outcome, count in store.counts().items() if count}

    def drain(self) -> None:
        self.pipeline.drain(Ending(INTERRUPTED, "a test has had enough"), "interrupted")


IN_FLIGHT = {f"S-{number}" for number in range(1, LIMIT + 1)}


_READERS: dict[str, Store] = {}
"""One for each ledger that was looked at: to open a database anew for each look would hold up the run."""


@pytest.fixture(autouse=True)
def _readers_are_closed() -> Iterator[None]:
    yield
    while _READERS:
        _READERS.popitem()[1].close()


def doubtful(ledger: str) -> set[str]:
    """Keys of the records that *ledger* takes for doubtful, as another process would see it."""
    if ledger not in _READERS:
        _READERS[ledger] = open_to_read(ledger)
    return {f"S-{ordinal}" for ordinal in _READERS[ledger].doubtful()}


async def test_whatever_is_sent_was_declared_durably_before(tmp_path: Path, ledger: str) -> None:
    """While a request is under way a second look into the file finds it, through faults, throttling and outages."""
    rnd = random.Random(7)
    undeclared: list[str] = []
    requests = 0

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        nonlocal requests
        requests += 1
        key, number = key_in(body), requests % 60
        if key not in doubtful(ledger):
            undeclared.append(key)
        await asyncio.sleep(0)
        if number in {20, 21, 22}:
            raise DOWN
        if number == 40:
            return Answer(503, {"Retry-After": "0"}, b"busy")
        fate = rnd.random()
        if fate < 0.05:
            raise ConnectionLost("reset", sent=True)
        if fate < 0.10:
            return fault("Transaction was deadlocked; rerun it")
        if fate < 0.15:
            return fault("Input string was not in a correct format", "Client")
        return saved(body)

    given = [record(number, safe=number % 2 == 0, key=None) for number in range(1, 301)]
    run = await Run(tmp_path, ledger, given, Told(say), concurrency=None)()
    assert undeclared == []
    assert requests > 320
    assert sum(run.outcomes.values()) == 300
    assert doubtful(ledger) == set()
    assert {reason.value for reason, count in run.tally.retries.items() if count} >= {
        "faulted",
        "not_sent",
        "throttled",
        "uncertain",
    }


async def test_at_most_twice_the_limit_is_declared_ahead(tmp_path: Path, ledger: str) -> None:
    """What is doubtful after a crash is what is in flight and one window, however much waits."""
    widest = 0

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        nonlocal widest
        widest = max(widest, len(doubtful(ledger)))
        return saved(body)

    run = await Run(tmp_path, ledger, records(400), Told(say))()
    assert run.outcomes == {"delivered": 400}
    # Of those in flight, and of those that have ended since the last commit, there are as many as were declared.
    assert 0 < widest <= 2 * (2 * LIMIT) + LIMIT


async def test_what_waits_while_the_service_is_silent_is_one_window(tmp_path: Path, ledger: str) -> None:
    """Nothing is declared again and again while nothing is answered."""
    told = Told(never)
    run = Run(tmp_path, ledger, records(400), told, drain_timeout=0.0)
    running = asyncio.create_task(run())
    await until(lambda: told.open == LIMIT and bool(run.kept.writer._windows))
    for _ in range(5):
        await committed(run)
    assert LIMIT <= len(doubtful(run.ledger)) <= 3 * LIMIT
    run.drain()
    run.pipeline.leave()
    await running
    assert run.outcomes == {}
    assert doubtful(run.ledger) == IN_FLIGHT  # they may be sent again


async def committed(run: Run) -> None:
    """Until the writer has made one more commit."""
    before = len(run.events)
    run.kept.writer._something.set()
    await until(lambda: len(run.events) > before)


async def test_while_the_service_is_down_nothing_but_a_probe_is_doubtful(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what had been declared before the outage began is taken back."""
    monkeypatch.setattr("batcher.core.breaker._FIRST_WAIT", 0.1)
    monkeypatch.setattr("batcher.core.breaker._LONGEST_WAIT", 0.1)
    down = False
    seen: list[set[str]] = []
    enough = asyncio.Event()

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        nonlocal down
        down = down or key_in(body) == "S-50"
        if down:
            seen.append(doubtful(ledger))
            if len(seen) >= 3 * LIMIT:
                enough.set()
            raise DOWN
        return saved(body)

    run = Run(tmp_path, ledger, records(400), Told(say))
    running = asyncio.create_task(run())
    await enough.wait()
    # At most so many were under way when it began. Where the disk is slow a commit of others was, too, of which one is
    # the first probe then, and the second one is declared before they are taken back.
    assert {len(found) for found in seen[LIMIT + 2 :]} == {1}
    run.drain()
    await running
    assert doubtful(ledger) == set()
    assert set(run.outcomes) == {"delivered"}


async def test_a_pause_that_the_service_asks_for_leaves_nothing_doubtful(tmp_path: Path, ledger: str) -> None:
    """Retry-After may be long; what only waits for its end is certainly not sent."""
    asked = False

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        nonlocal asked
        if key_in(body) == "S-50":
            asked = True
            return Answer(503, {"Retry-After": "3600"}, b"busy")
        return saved(body)

    run = Run(tmp_path, ledger, records(400), Told(say))
    running = asyncio.create_task(run())
    await until(lambda: asked and run.pipeline.submitter.gate.in_flight == 0)
    while doubtful(run.ledger):  # commits under way, and those of what was declared meanwhile, come first
        await committed(run)
    run.drain()
    await running
    assert run.exit_codes == [INTERRUPTED]


@pytest.mark.parametrize("in_doubt", ["hold", "auto"])
async def test_unsent_leaves_nothing(tmp_path: Path, ledger: str, in_doubt: Literal["hold", "auto"]) -> None:
    """A record that was read and not sent has neither an outcome nor a line nor an intent; the next run sends it.

    One that was cut short is in doubt: for good where it may not be sent again, else its intent stands.
    """
    stands = in_doubt == "auto"
    told = Told(never)
    run = Run(tmp_path, ledger, records(30), told, in_doubt=in_doubt)
    running = asyncio.create_task(run())
    await until(lambda: told.open == LIMIT)
    run.drain()
    run.pipeline.leave()
    await running
    assert (run.tally.outcomes[Outcome.UNSENT], run.tally.outcomes[Outcome.IN_DOUBT]) == (30 - LIMIT, LIMIT)
    assert run.outcomes == ({} if stands else {"in_doubt": LIMIT})
    assert run.results.read_bytes().count(b"\n") == (0 if stands else LIMIT)
    assert doubtful(run.ledger) == (IN_FLIGHT if stands else set())
    later = Told(good)
    again = await Run(tmp_path, ledger, records(30), later, in_doubt=in_doubt)()
    first = 1 if stands else LIMIT + 1
    assert Counter(later.sent) == {f"S-{number}": 1 for number in range(first, 31)}
    assert again.outcomes == ({"delivered": 30} if stands else {"in_doubt": LIMIT, "delivered": 30 - LIMIT})


@pytest.mark.parametrize("failing", [1, 2, 5])
async def test_a_commit_that_fails_ends_the_run(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """It ends with 9, and nothing is sent that was not declared; what was committed stays, and the rest goes later."""
    commits, failed = 0, False
    kept = {kind: kind.commit for kind in kinds_of_store()}

    def refuse(store: Store, what: Commit) -> None:
        nonlocal commits, failed
        commits += 1
        if commits >= failing:
            failed = True
            raise OutputFailed("the ledger cannot be written: the disk is full")
        kept[type(store)](store, what)

    late: list[str] = []

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        if key_in(body) not in doubtful(ledger):
            late.append(key_in(body))
        await asyncio.sleep(0)
        return saved(body)

    told = Told(say)
    with monkeypatch.context() as patch:
        for each in kept:
            patch.setattr(each, "commit", refuse)
        run = await Run(tmp_path, ledger, records(200), told)()
    assert failed
    assert set(run.exit_codes) == {9}
    assert late == []
    assert len(told.sent) <= (failing - 1) * 2 * LIMIT
    again = await Run(tmp_path, ledger, records(200), told)()
    assert again.exit_codes == []
    assert again.outcomes == {"delivered": 200}
    assert again.results.read_bytes().count(b"\n") == 200


async def test_results_that_cannot_be_written_end_the_run_and_not_the_ledger(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 9; what was in flight has its outcome in the ledger."""
    let_go = asyncio.Event()

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        if int(key_in(body)[2:]) > 20:
            await let_go.wait()
        return saved(body)

    told = Told(say)
    run = Run(tmp_path, ledger, records(200), told)

    def refuse(_projection: Projection, results: Sequence[bytes], rejects: Sequence[bytes]) -> None:
        raise OutputFailed("the results were closed by their reader")

    monkeypatch.setattr(Projection, "write", refuse)
    running = asyncio.create_task(run())
    await until(lambda: bool(run.pipeline.endings))
    sent = len(told.sent)
    let_go.set()
    await running
    assert run.exit_codes == [9]
    assert len(told.sent) == sent
    assert run.outcomes == {"delivered": sent}
    assert doubtful(run.ledger) == set()
    monkeypatch.undo()
    await Run(tmp_path, ledger, records(200), told)()
    assert Counter(told.sent) == {f"S-{number}": 1 for number in range(1, 201)}
    assert run.results.read_bytes().count(b"\n") == 200


async def test_a_reader_who_has_stopped_does_not_keep_outcomes_from_the_ledger(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that wait for their reader are in the ledger already."""
    reads = threading.Event()
    run = Run(tmp_path, ledger, records(60), Told(good))
    write = Projection.write

    def stuck(projection: Projection, results: Sequence[bytes], rejects: Sequence[bytes]) -> None:
        reads.wait()
        write(projection, results, rejects)

    monkeypatch.setattr(Projection, "write", stuck)
    running = asyncio.create_task(run())
    try:
        await until(lambda: run.tally.outcomes[Outcome.DELIVERED] == 60 and not run.kept.writer.uncommitted)
        await committed(run)
        assert run.outcomes == {"delivered": 60}
        assert run.results.read_bytes() == b""
    finally:
        reads.set()
        await running
    assert run.results.read_bytes().count(b"\n") == 60


async def test_a_finished_run_leaves_its_files_accounted_for(tmp_path: Path, ledger: str) -> None:
    """So the next run need not write them again."""
    run = await Run(tmp_path, ledger, records(50), Told(good))()
    with opened(run.ledger) as store:
        assert store.accounted(str(run.results.resolve())) == run.results.stat().st_size > 0


async def test_the_last_record_that_is_left_may_be_the_one_at_fault(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where earlier runs have delivered the others, a record that is turned away again and again ends rejected."""
    monkeypatch.setattr("batcher.core.breaker._FIRST_WAIT", 0.01)
    monkeypatch.setattr("batcher.core.breaker._LONGEST_WAIT", 0.01)
    gone = Answer(404, {}, b"nobody is here")

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        return gone if key_in(body) == "S-7" else saved(body)

    run = Run(tmp_path, ledger, records(7), Told(say))
    running = asyncio.create_task(run())
    await until(lambda: run.tally.outcomes[Outcome.DELIVERED] == 6)
    run.drain()
    await running
    assert run.outcomes == {"delivered": 6}
    again = await Run(tmp_path, ledger, records(7), Told(say))()
    assert again.outcomes == {"delivered": 6, "rejected": 1}
    assert again.exit_codes == []
