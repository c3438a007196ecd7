"""A writer that is broken off, at whatever instant: what it knows is in the ledger, and nothing by halves."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from batcher.core.events import Event
from batcher.core.limit import Limit
from batcher.core.result import Result
from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed
from batcher.flow.job import Job
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.memory import Memory
from batcher.flow.ledger.projection import Projection
from batcher.flow.ledger.writer import LedgerWriter
from tests.flow.ledgers import opened
from tests.flow.runs import make_job, until

pytestmark = pytest.mark.usefixtures("no_task_is_left")

RECORDS = 6


@pytest.fixture
def _files_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that writes them is not taken for stuck where the machine has other things to do for half a second."""
    monkeypatch.setattr("batcher.flow.ledger.projecting._STUCK", 60.0)


class _Awaits(Awaitable[None]):
    """Runs *work*, and cancels the task that awaits it at the await of number *at*; counts the awaits."""

    def __init__(self, work: Coroutine[Any, Any, None], at: int) -> None:
        self._work = work
        self._at = at
        self.count = 0

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        go_on: Callable[[], Any] = functools.partial(next, steps)
        while True:
            try:
                waits_for = go_on()
            except StopIteration:
                return
            self.count += 1
            if self.count == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - handed on: timeouts cancel, too
                go_on = functools.partial(steps.throw, error)
            else:
                go_on = functools.partial(next, steps)


class Scene:
    """A writer on a ledger, six records that are declared, and what it told; results go to *folder*."""

    def __init__(self, folder: Path, ledger: str, results: str | None = None) -> None:
        self.ledger = ledger
        self.hold = hold(ledger, create=True)
        self.results = folder / "results.ndjson"
        self.store = self.hold.open()
        self.projection = Projection(self.store, results or str(self.results), None)
        self.writer = LedgerWriter(self.store, self.projection, self, asyncio.get_running_loop().time, Limit(4, 4))
        self.told: set[int] = set()
        self.put: set[int] = set()
        self.out = 0
        self.writer.on_declared(lambda jobs: self.told.update(job.ordinal for job in jobs))

    def notice(self, event: Event, /) -> None:
        """Heard by nobody."""

    def written(self, count: int, _size: int) -> None:
        self.out += count

    async def use(self) -> None:
        """Declare all, and put the result of each once that is durable; one is put without."""
        jobs = [make_job(ordinal) for ordinal in range(1, RECORDS + 1)]
        self.writer.declare(jobs[:3])
        await until(lambda: len(self.told) == 3)
        for job in jobs[:2]:
            self.end(job)
        self.writer.declare(jobs[3:])
        await until(lambda: len(self.told) == RECORDS)
        for job in jobs[2:]:
            self.end(job)
        self.writer.finish()

    def end(self, job: Job, key: str = "S") -> None:
        self.put.add(job.ordinal)
        self.writer.put(
            Result(
                line=job.ordinal,
                outcome=Outcome.DELIVERED,
                key=key,
                attempts=1,
                seconds=0.1,
                hash=job.line.hash,
                ordinal=job.ordinal,
            ),
            1,
        )


async def broken_off(scene: Scene, at: int) -> bool:
    """Use the writer, and break it off at its await of that number; whether it came to that."""
    using = asyncio.create_task(scene.use())
    awaits = _Awaits(scene.writer.run(scene.written), at)

    async def run() -> None:
        await awaits

    try:
        await asyncio.create_task(run())
    except asyncio.CancelledError:
        return True
    finally:
        using.cancel()
        await asyncio.wait([using])
        scene.hold.close()
    return False


async def has_failed(scene: Scene) -> bool:
    """Use the writer until it ends, and whether it could not write."""
    using = asyncio.create_task(scene.use())
    try:
        await scene.writer.run(scene.written)
    except OutputFailed:
        return True
    finally:
        using.cancel()
        await asyncio.wait([using])
        scene.hold.close()
    return False


@pytest.mark.usefixtures("_files_are_waited_for")
async def test_a_writer_that_is_cancelled_at_any_await_keeps_what_it_knows(
    tmp_path: Path, new_ledger: Callable[[], str]
) -> None:
    """Every result that was put is in the ledger and its file; of the rest, what was told is doubtful, and no more."""
    at, cancelled = 0, True
    while cancelled:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        scene = Scene(folder, new_ledger())
        cancelled = await broken_off(scene, at)
        assert cancelled or (scene.put, scene.out) == (set(range(1, RECORDS + 1)), RECORDS)
        with opened(scene.ledger) as store:
            known = store.known(1, RECORDS)
            lines = b"".join(store.lines("results"))
            assert set(known) == scene.put
            assert set(store.doubtful()) == scene.told - scene.put
            assert store.accounted(str(scene.results.resolve())) == len(lines)
        assert lines.count(b"\n") == len(scene.put)
        assert scene.results.read_bytes() == lines
    assert at > 6


@pytest.mark.usefixtures("_files_are_waited_for")
async def test_a_commit_that_fails_once_is_made_when_the_writer_breaks_off(
    tmp_path: Path, new_ledger: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever it is, what it held is in the ledger and its file, once; who was not told is not doubtful."""
    number, failed = 0, True
    while failed:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        scene = Scene(folder, new_ledger())
        monkeypatch.setattr(scene.store, "commit", _failing_once(scene.store.commit, number))
        failed = await has_failed(scene)
        assert failed or scene.put == set(range(1, RECORDS + 1))
        with opened(scene.ledger) as store:
            lines = b"".join(store.lines("results"))
            assert set(store.known(1, RECORDS)) == scene.put
            assert set(store.doubtful()) == scene.told - scene.put
        assert lines.count(b"\n") == len(scene.put)
        assert scene.results.read_bytes() == lines
    assert number > 3


async def test_a_result_without_a_line_takes_no_other_with_it(tmp_path: Path, ledger: str) -> None:
    """That is a bug, and its worker's; what had ended before is kept, and the record itself stays doubtful."""
    scene = Scene(tmp_path, ledger)
    jobs = [make_job(ordinal) for ordinal in (1, 2)]
    scene.writer.declare(jobs)
    running = asyncio.create_task(scene.writer.run(scene.written))
    await until(lambda: len(scene.told) == 2)
    scene.end(jobs[0])
    with pytest.raises(TypeError):
        scene.end(jobs[1], key="\ud800")
    running.cancel()
    await asyncio.wait([running])
    scene.hold.close()
    with opened(ledger) as store:
        assert set(store.known(1, 2)) == {1}
        assert set(store.doubtful()) == {2}


async def test_a_memory_that_is_cancelled_is_whole(tmp_path: Path, ledger: str) -> None:
    """Who looks up again learns what there is."""
    await broken_off(Scene(tmp_path, ledger), 0)
    with opened(ledger) as store:
        memory, lines = Memory(store), [make_job(ordinal).line for ordinal in range(1, RECORDS + 1)]
        awaits = _Awaits(memory.look_up(1, lines), 1)

        async def look() -> None:
            await awaits

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(look())
        await memory.look_up(1, lines)
        job = make_job(1)
        past = memory.recall(1, job.line)
    assert past is not None
    assert past.known is not None
    assert past.known.outcome is Outcome.DELIVERED


@pytest.mark.parametrize("patient", [True, False])
async def test_a_reader_who_has_stopped_holds_up_no_run_that_was_interrupted(
    tmp_path: Path, ledger: str, *, patient: bool
) -> None:
    """The ledger has the lines, and the run ends; any other run waits for its reader."""
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        stuffing = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
        while _stuff(stuffing):
            pass
        os.close(stuffing)
        scene = Scene(tmp_path, ledger, str(tmp_path / "pipe"))
        scene.writer.patient = lambda: patient
        running = asyncio.create_task(scene.writer.run(scene.written))
        await scene.use()
        if patient:
            await until(lambda: not scene.writer.uncommitted)
            assert scene.out == 0
            reads = asyncio.create_task(asyncio.to_thread(_empty, reading, running.done))
            await running
            await reads
        await running
        assert scene.out == RECORDS
        with opened(scene.ledger) as store:
            assert set(store.known(1, RECORDS)) == set(range(1, RECORDS + 1))
        scene.hold.close()
    finally:
        os.close(reading)


def _failing_once(commit: Callable[[Commit], None], at: int) -> Callable[[Commit], None]:
    count = 0

    def failing(given: Commit) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise OutputFailed("the disk is full")
        commit(given)

    return failing


def _stuff(file: int) -> bool:
    try:
        return os.write(file, bytes(4096)) > 0
    except BlockingIOError:
        return False


def _empty(file: int, done: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not done():
        try:
            os.read(file, 1 << 20)
        except BlockingIOError:
            pause.wait(0.01)
