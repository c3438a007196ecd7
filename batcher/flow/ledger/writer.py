"""Keeps the ledger while the run goes on: intents before sending, outcomes and result lines after, in group commits.

One commit is under way at a time, on a thread; what happens meanwhile goes into the next one. Result lines go to their
files only once the commit that holds them is durable, so the ledger is the truth and the files are projections of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from batcher.core.events import Committed, Observer
from batcher.core.limit import Limit
from batcher.core.result import Result
from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed, RunAborted
from batcher.flow.job import Job
from batcher.flow.ledger.commit import Commit, Moved
from batcher.flow.ledger.projecting import Durable, Projecting
from batcher.flow.ledger.projection import Projection
from batcher.flow.ledger.rows import Move, mark
from batcher.flow.ledger.runs import Reading
from batcher.flow.ledger.store import Store
from batcher.flow.ledger.windows import Pace, Windows

_GATHER = 0.02
"""Seconds for which outcomes alone wait for more; intents never wait."""


_UNWRITTEN = "the ledger cannot be written"
# Members of an Enum are looked up in its class each time, for some hundred instructions.
_DELIVERED, _UNSENT = Outcome.DELIVERED, Outcome.UNSENT


class _Batch(NamedTuple):
    """What a commit carries, who waits for it, how many results it holds, their size, and who waits for moves."""

    commit: Commit
    declared: list[Job]
    ended: int
    size: int
    moving: list[asyncio.Future[Moved]]


class LedgerWriter:
    """The ledger's writer: a ``Sink`` for results, and the ``Intents`` of the gate.

    Args:
        store: the open ledger, already bound to this run.
        projection: the files that its lines are written to.
        observer: hears of commits.
        clock: seconds, monotonic.
        limit: the concurrency limit.

    Attributes:
        reading: asks how far the input was read, which commits write down.
        account: asks for what the run has to tell of itself, where that is due.
        patient: asks whether a reader of the results who has stopped reading is to be waited for: not when the run was
            interrupted, because the ledger holds what was not written.
        unread: there is such a reader, and he was not waited for.
    """

    def __init__(
        self,
        store: Store,
        projection: Projection,
        observer: Observer,
        clock: Callable[[], float],
        limit: Limit,
    ) -> None:
        self._store = store
        self._projection = projection
        self._observer = observer
        self._clock = clock
        self._limit = limit
        self._windows = Windows(store.windows())
        self._pace = Pace(clock(), limit.most)
        self._next = Commit()
        self._ended: list[Result] = []
        self._undelivered: list[Result] = []
        self._declared: list[Job] = []
        self._count = self._size = 0
        self._moves: list[Move] = []
        self._moving: list[asyncio.Future[Moved]] = []
        self._under_way: tuple[Future[None], _Batch] | None = None
        self._told: tuple[object, ...] = ()
        self._tell_declared: Callable[[Sequence[Job]], None] = lambda _jobs: None
        self._tell_broken: Callable[[OutputFailed], None] = lambda _error: None
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._finished = self._broken_off = False
        self.reading: Callable[[], Reading | None] = lambda: None
        self.account: Callable[[], bytes | None] = lambda: None
        self.patient: Callable[[], bool] = lambda: True
        self.unread = False

    @property
    def uncommitted(self) -> int:
        """Results that wait for a commit."""
        return self._count

    # Intents

    def on_declared(self, declared: Callable[[Sequence[Job]], None]) -> None:
        """Tell *declared* the jobs whose intents are durable, in the order of their declaration."""
        self._tell_declared = declared

    def wanted(self, ahead: int, limit: int) -> int:
        """How many more records are to be declared now.

        Args:
            ahead: records that are declared and not sent.
            limit: the concurrency limit.
        """
        return self._pace.wanted(ahead, limit)

    def declare(self, jobs: Sequence[Job]) -> None:
        """Make durable that *jobs* may be sent from now on."""
        self._windows.declare(jobs)
        self._pace.declared(len(jobs))
        self._declared += jobs
        self._something.set()
        self._urgent.set()

    def retract(self, job: Job) -> None:
        """*job* was not sent, or turned away unread, and will wait: it is not doubtful while it does."""
        self._windows.settle({job.ordinal})
        job.declared = False
        self._something.set()

    async def move(self, moves: Sequence[Move]) -> Moved:
        """Take records over from the ledgers of earlier divisions; what came with them, once that is durable.

        Raises:
            OutputFailed: it cannot be written.
        """
        if self._broken_off:
            raise OutputFailed(_UNWRITTEN)
        moved: asyncio.Future[Moved] = asyncio.get_running_loop().create_future()
        self._moves += moves
        self._moving.append(moved)
        self._something.set()
        self._urgent.set()
        return await moved

    # Results

    def on_broken(self, broken: Callable[[OutputFailed], None]) -> None:
        """Tell *broken* when a file of results cannot be written any more; the ledger is kept all the same."""
        self._tell_broken = broken

    def put(self, result: Result, size: int) -> None:
        """Take a result."""
        outcome, commit = result.outcome, self._next
        if outcome is _DELIVERED:
            commit.results.append(result.to_json())
            self._ended.append(result)
        elif outcome is _UNSENT:
            # No final outcome: the ledger knows such a record by knowing nothing of it.
            self._windows.settle({result.ordinal})
        elif not result.standing:
            line, reject = result.to_json(), result.to_reject()  # should that fail, nothing is told of it
            commit.results.append(line)
            commit.rejects.append(reject)
            commit.rejects_of.append(result.ordinal)
            self._ended.append(result)
            self._undelivered.append(result)
        if not self._count:
            self._something.set()
        self._count += 1
        self._size += size

    def finish(self) -> None:
        """Nothing more will be put."""
        self._finished = True
        self._something.set()
        self._urgent.set()

    async def run(self, written: Callable[[int, int], None]) -> None:
        """Commit, and write what is durable, until all is out.

        However it ends, also by cancellation, it tries to commit every outcome that it knows.

        Args:
            written: is told how many results are out, and the sum of their sizes.

        Raises:
            LedgerRefused: the ledger is damaged, or gone.
            OutputFailed: it cannot be written. What was committed before stays.
        """
        with contextlib.closing(self._store), ThreadPoolExecutor(1, "ledger") as thread:
            projecting = Projecting(self._projection, written, self._tell_broken)
            try:
                await self._keep(thread, projecting)
                projecting.finish()
                all_written = await projecting.join(patient=self.patient)
            except BaseException:
                self._break_off(projecting)
                raise
            self.unread = not all_written
            if all_written:
                await asyncio.shield(asyncio.wrap_future(thread.submit(self._account)))

    async def _keep(self, thread: ThreadPoolExecutor, projecting: Projecting) -> None:
        """Commit until all is in the ledger."""
        finished = False
        while not finished or self._count or self._declared:
            await self._something.wait()
            await self._gather()
            finished = self._finished
            self._something.clear()
            batch = self._take()
            began = self._clock()
            future = thread.submit(self._store.commit, batch.commit)
            self._under_way = future, batch
            # A cancellation is not to reach what waits for the thread.
            await asyncio.shield(asyncio.wrap_future(future))
            self._under_way = None
            now = self._clock()
            self._pace.committed(now - began, now)
            self._observer.notice(Committed(now - began, len(batch.commit.results)))
            for job in batch.declared:
                job.declared = True
            self._project(projecting, batch)
            self._tell_declared(batch.declared)

    def _project(self, projecting: Projecting, batch: _Batch) -> None:
        """Let what is durable be written to files, and tell of what was moved."""
        moved = batch.commit.moved
        if moved is not None:
            projecting.put(Durable(moved.results, moved.rejects, 0, 0, earlier=True))
            for future in batch.moving:
                if not future.done():
                    future.set_result(moved)
        projecting.put(Durable(batch.commit.results, batch.commit.rejects, batch.ended, batch.size))

    async def _gather(self) -> None:
        """Let outcomes alone wait a moment for more."""
        if not self._urgent.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), _GATHER)
        self._urgent.clear()

    def _take(self) -> _Batch:
        commit = self._settle()
        commit.moves = self._moves
        self._windows.adopt({move.ordinal: move.hash for move in self._moves if move.sent})
        # Windows go to the thread as they are now: they may change while they are being written.
        commit.windows = self._windows.take()
        accounted, limit = self._projection.accounted(), self._limit.value
        if self._told != (accounted, limit):
            self._told = accounted, limit
            commit.accounted, commit.limit = accounted, limit
        commit.reading, commit.account = self.reading(), self.account()
        batch = _Batch(commit, self._declared, self._count, self._size, self._moving)
        self._declared, self._count, self._size = [], 0, 0
        self._moves, self._moving = [], []
        return batch

    def _settle(self) -> Commit:
        """Settle the intents of records that have ended; what is to be kept of them."""
        commit, ended, undelivered = self._next, self._ended, self._undelivered
        self._next, self._ended, self._undelivered = Commit(), [], []
        commit.results_of = [result.ordinal for result in ended]
        commit.closed = [result.ordinal for result in ended if result.origin is not None]
        hashes = self._windows.settle(set(commit.results_of))
        if len(hashes) < len(ended):  # some were never declared
            hashes = {result.ordinal: mark(result.hash, result.line) for result in ended} | hashes
        for result in undelivered:
            commit.records.setdefault(result.outcome, {})[result.ordinal] = hashes.pop(result.ordinal)
        if hashes:
            commit.records[_DELIVERED] = hashes
        return commit

    def _break_off(self, projecting: Projecting) -> None:
        """Bring what is known into the ledger, and what it holds into the files; blocks, for nothing goes on anyway."""
        self._broken_off = True
        batches = []
        if self._under_way is not None:
            future, batch = self._under_way
            if future.exception() is None:
                self._project(projecting, batch)
            else:
                batches.append(batch)
            for job in batch.declared:  # nobody was told, so none of them was sent
                self._windows.settle({job.ordinal})
        for job in self._declared:
            self._windows.settle({job.ordinal})
        # What was not begun to be moved stays where it is.
        self._moves, moving, self._moving = [], self._moving, []
        batches.append(self._take())
        with contextlib.suppress(RunAborted):  # as told already, or the run ends with worse
            for batch in batches:
                self._store.commit(batch.commit)
                self._project(projecting, batch)
        for waiting in (*moving, *(each for batch in batches for each in batch.moving)):
            if not waiting.done():
                waiting.set_exception(OutputFailed(_UNWRITTEN))
        projecting.finish()
        if projecting.join_now():
            with contextlib.suppress(RunAborted):
                self._account()

    def _account(self) -> None:
        """Write down that all is in the files, and let go of them."""
        with contextlib.closing(self._projection):
            self._projection.sync()
            self._store.commit(Commit(accounted=self._projection.accounted(), reading=self.reading()))
