"""Keeps the ledger while the run goes on: intents before sending, outcomes and result lines after, in group commits.

One commit is under way at a time, on a thread; what happens meanwhile goes into the next one. Result lines go to their
files only once the commit that holds them is durable, so the ledger is the truth and the files are projections of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from batcher.core.events import Committed, Observer
from batcher.core.result import Result
from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed
from batcher.flow.job import Job
from batcher.flow.ledger.projection import Projection
from batcher.flow.ledger.store import Commit, Store, hash_number

_GATHER = 0.02
"""Seconds for which outcomes alone wait for more; intents never wait."""
_QUICK = 0.01
"""A commit is taken to need at least so many seconds: smaller ones would cost more than they carry."""
_SMOOTHING = 0.5


class LedgerWriter:
    """The ledger's writer: a ``Sink`` for results, and the ``Intents`` of the gate.

    Args:
        store: the open ledger, already bound to this run.
        projection: the files that its lines are written to.
        observer: hears of commits.
        clock: seconds, monotonic.
        limit: asks for the concurrency limit.
    """

    def __init__(
        self,
        store: Store,
        projection: Projection,
        observer: Observer,
        clock: Callable[[], float],
        limit: Callable[[], int],
    ) -> None:
        self._store = store
        self._projection = projection
        self._observer = observer
        self._clock = clock
        self._limit = limit
        self._windows = store.windows()
        self._window_of = {ordinal: number for number, window in self._windows.items() for ordinal in window}
        self._next_window = max(self._windows, default=0) + 1
        self._commit = Commit()
        self._declared: list[Job] = []
        self._count = 0
        self._size = 0
        self._tell_declared: Callable[[Sequence[Job]], None] = lambda _jobs: None
        self._tell_broken: Callable[[OutputFailed], None] = lambda _error: None
        self._durable: asyncio.Queue[tuple[Commit, int, int] | None] = asyncio.Queue()
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._finished = False
        self._seconds = _QUICK
        self._rate: float | None = None
        self._rate_from = clock()
        self._rate_count = 0

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

        As many as two commits will need at the present rate, at least 1 and at most twice the limit; 0 while half of
        that is ahead still, so that commits carry something.

        Args:
            ahead: records that are declared and not sent.
            limit: the concurrency limit.
        """
        rate = self._rate if self._rate is not None else limit / self._seconds
        need = min(max(1, math.ceil(2 * rate * max(self._seconds, _QUICK))), 2 * limit)
        return need - ahead if 2 * ahead < need else 0

    def declare(self, jobs: Sequence[Job]) -> None:
        """Make durable that *jobs* may be sent from now on."""
        number = self._next_window
        self._next_window += 1
        window = {job.ordinal: hash_number(job.line.hash) for job in jobs}
        self._window_of |= dict.fromkeys(window, number)
        self._windows[number] = window
        self._commit.windows[number] = window
        self._declared += jobs
        self._rate_count += len(jobs)
        self._something.set()
        self._urgent.set()

    def retract(self, job: Job) -> None:
        """*job* was not sent, or turned away unread, and will wait: it is not doubtful while it does."""
        self._settle(job.ordinal)
        job.declared = False
        self._something.set()

    # Results

    def on_broken(self, broken: Callable[[OutputFailed], None]) -> None:
        """Tell *broken* when a file of results cannot be written any more; the ledger is kept all the same."""
        self._tell_broken = broken

    def put(self, result: Result, size: int) -> None:
        """Take a result, and settle the record's intent."""
        self._settle(result.ordinal)
        commit = self._commit
        # Unsent is no final outcome: the ledger knows such a record by knowing nothing of it.
        if result.outcome is not Outcome.UNSENT:
            commit.records.append((result.ordinal, hash_number(result.hash), result.outcome))
            commit.results.append(result.to_json())
            if result.outcome is not Outcome.DELIVERED:
                commit.rejects.append(result.to_reject())
        self._count += 1
        self._size += size
        self._something.set()

    def finish(self) -> None:
        """Nothing more will be put."""
        self._finished = True
        self._something.set()
        self._urgent.set()

    async def run(self, written: Callable[[int, int], None]) -> None:
        """Commit, and write what is durable, until all is out.

        Args:
            written: is told how many results are out, and the sum of their sizes.

        Raises:
            OutputFailed: the ledger cannot be written. What was committed before stays.
        """
        loop = asyncio.get_running_loop()
        # Two: a reader of the results who has stopped reading must not keep outcomes from the ledger.
        with ThreadPoolExecutor(2, "ledger") as threads:
            projecting = asyncio.create_task(self._project(threads, written))
            try:
                await self._keep(threads)
            finally:
                self._durable.put_nowait(None)
                await projecting
                await loop.run_in_executor(threads, self._close)

    async def _keep(self, threads: ThreadPoolExecutor) -> None:
        """Commit until all is in the ledger."""
        loop = asyncio.get_running_loop()
        finished = False
        while not finished or self._count or self._declared:
            await self._something.wait()
            await self._gather()
            finished = self._finished
            self._something.clear()
            commit, declared, count, size = self._take()
            began = self._clock()
            await loop.run_in_executor(threads, self._store.commit, commit)
            self._learn(began, len(commit.records))
            for job in declared:
                job.declared = True
            self._tell_declared(declared)
            self._durable.put_nowait((commit, count, size))

    async def _project(self, threads: ThreadPoolExecutor, written: Callable[[int, int], None]) -> None:
        """Write what is durable to the files, for as long as they can be written."""
        loop = asyncio.get_running_loop()
        broken = False
        while (durable := await self._durable.get()) is not None:
            commit, count, size = durable
            if not broken:
                try:
                    await loop.run_in_executor(threads, self._projection.write, commit.results, commit.rejects)
                except OutputFailed as error:
                    broken = True
                    self._tell_broken(error)
            written(count, size)

    async def _gather(self) -> None:
        """Let outcomes alone wait a moment for more."""
        try:
            async with asyncio.timeout(_GATHER):
                await self._urgent.wait()
        except TimeoutError:
            pass
        self._urgent.clear()

    def _take(self) -> tuple[Commit, list[Job], int, int]:
        commit, declared, count, size = self._commit, self._declared, self._count, self._size
        # A window goes to the thread as it is now: it may change while it is being written.
        commit.windows = {number: dict(window) for number, window in commit.windows.items()}
        for number, window in commit.windows.items():
            if not window:
                del self._windows[number]
        commit.accounted = self._projection.accounted()
        commit.limit = self._limit()
        self._commit, self._declared, self._count, self._size = Commit(), [], 0, 0
        return commit, declared, count, size

    def _settle(self, ordinal: int) -> None:
        number = self._window_of.pop(ordinal, None)
        if number is not None:
            left = self._windows[number]
            del left[ordinal]
            self._commit.windows[number] = left

    def _learn(self, began: float, records: int) -> None:
        now = self._clock()
        self._seconds += (now - began - self._seconds) * _SMOOTHING
        if now - self._rate_from > 2 * self._seconds:
            rate = self._rate_count / (now - self._rate_from)
            self._rate = rate if self._rate is None else self._rate + (rate - self._rate) * _SMOOTHING
            self._rate_from, self._rate_count = now, 0
        self._observer.notice(Committed(now - began, records))

    def _close(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._store.close)
            stack.callback(self._projection.close)
            self._projection.sync()
            self._store.commit(Commit(accounted=self._projection.accounted()))
