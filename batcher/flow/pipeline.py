"""From lines to results: reads ahead a bounded way, submits, and accounts for every line, however the run ends.

A record counts as held from its reading until its result line is out. Reading waits while too much is held: this one
rule bounds the memory, and makes a slow service, a slow disk and a slow reader of our results slow the reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from batcher.core.events import Draining, Observer, RecordEnded, RecordRead, RecordResumed, Unprotected
from batcher.core.record import RecordReader, key_as_json
from batcher.core.result import Result
from batcher.core.retry import History
from batcher.core.stop import StopRule
from batcher.core.verdict import Outcome, Problem
from batcher.errors import LedgerRefused, OutputFailed, RecordError, RunAborted, ServiceUnusable
from batcher.flow.intents import Intents
from batcher.flow.job import Job
from batcher.flow.ledger.memory import Memory
from batcher.flow.sink import Sink
from batcher.flow.source import Line, Source
from batcher.flow.submit import Service, Submitter

HELD_RECORDS = 1024
"""Records held at most; more where that many could not keep all workers busy."""
HELD_BYTES = 32 * 1024 * 1024
_AT_A_TIME = 16
"""Lines between two looks of the event loop at its sockets."""
_LOOK = 0.2
"""Seconds between two looks at how long an outage has lasted."""

INTERRUPTED, STOPPED = 6, 5
_CRASH = Problem("crash", "an earlier run was killed between sending it and writing down the answer")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ends before its input does: an exit code, and the reason for people."""

    exit_code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: how long an outage may last, and how long what is in flight may take once reading has stopped."""

    max_outage: float
    drain: float


class Pipeline:
    """One run.

    Args:
        source: of the lines.
        reader: makes records of them.
        service: where they go.
        workers: how many may be in flight at most.
        sink: of the results.
        stop: when too much goes wrong.
        times: the operator's patience.
        intents: the ledger's, if there is one.
        memory: what earlier runs on that ledger have left.
        observer: hears what happens.
        clock: seconds, monotonic.
        wall: seconds since 1970.

    Attributes:
        endings: why the run ends early; several reasons can come together.
        last: the last line that was read.
        records: how many were read.
    """

    def __init__(
        self,
        *,
        source: Source,
        reader: RecordReader,
        service: Service,
        workers: int,
        sink: Sink,
        stop: StopRule,
        times: Times,
        observer: Observer,
        clock: Callable[[], float],
        wall: Callable[[], float],
        intents: Intents | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._memory = memory
        self._protected = memory is not None
        self._policy = service.policy
        self._source = source
        self._reader = reader
        self._breaker = service.breaker
        self._workers = workers
        self._most_held = max(HELD_RECORDS, 4 * workers)
        self._sink = sink
        self._stop = stop
        self._times = times
        self._observer = observer
        self._clock = clock
        self.submitter = Submitter(service, observer, self._finish, self._give_up, clock, wall, intents)
        self.endings: list[Ending] = []
        self.last: Line | None = None
        self.records = 0
        self._unfinished = 0
        self._held_records = 0
        self._held_bytes = 0
        self._room = asyncio.Event()
        self._read_all = False
        self._sink_broken = False
        self._working: list[asyncio.Task[None]] = []
        self._done = asyncio.Event()
        self._leaving: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Records that were read and are neither in flight nor ended."""
        return self.submitter.waiting

    async def run(self) -> None:
        """Bring every line to its result; why it ended early, if it did, is in ``endings`` then.

        Whatever it raises is a bug.
        """
        try:
            await self._run()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            if self._leaving is not None:
                self._leaving.cancel()
            await self._source.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write())
            watching = group.create_task(self._watch())
            self._working = [group.create_task(self.submitter.work()) for _ in range(self._workers)]
            group.create_task(self._feed())
            await self._done.wait()
            self.submitter.abandon("stopped", "the run has ended")
            self._sink.finish()
            watching.cancel()
            await writing

    def drain(self, ending: Ending, kind: str) -> None:
        """Read nothing more, send nothing more, and let what is in flight end, for a while.

        Args:
            ending: why.
            kind: what becomes of the records that were read and not sent.
        """
        self.endings.append(ending)
        if self.submitter.gate.closed:
            return
        self._observer.notice(Draining(ending.reason))
        self._source.stop()
        self.submitter.abandon(kind, ending.reason)
        self._room.set()
        self._leaving = asyncio.get_running_loop().call_later(self._times.drain, self.leave)
        self._settle()

    def leave(self) -> None:
        """End what is in flight at once; it may have been applied."""
        for worker in self._working:
            worker.cancel()

    async def _feed(self) -> None:
        try:
            while lines := await self._source.read():
                if self._memory is not None:
                    await self._memory.look_up(self.records + 1, len(lines))
                read_at = self._clock()
                for number, line in enumerate(lines):
                    await self._wait_for_room()
                    if number % _AT_A_TIME == 0:
                        await asyncio.sleep(0)
                    self._take(line, read_at)
            if self._memory is not None and not self.submitter.gate.closed:
                self._memory.end(self.records)
        except LedgerRefused as error:
            self.drain(Ending(error.exit_code, str(error)), "stopped")
        except RunAborted as error:
            self.endings.append(Ending(error.exit_code, str(error)))
        self._read_all = True
        self._settle()

    async def _wait_for_room(self) -> None:
        while self._held_records >= self._most_held or self._held_bytes >= HELD_BYTES:
            if self.submitter.gate.closed:
                return
            self._room.clear()
            await self._room.wait()

    def _take(self, line: Line, read_at: float) -> None:
        crashed = False
        if self._memory is not None:
            recalled = self._memory.recall(self.records + 1, line)
            if not isinstance(recalled, bool):
                self.records += 1
                self._observer.notice(RecordResumed(line.size))
                return
            crashed = recalled
        self._observer.notice(RecordRead(line.size))
        self.last = line
        self.records += 1
        self._unfinished += 1
        self._held_records += 1
        self._held_bytes += len(line.raw)
        try:
            if line.problem is not None:
                raise line.problem
            record = self._reader.read(line.raw)
        except RecordError as error:
            self._refuse(line, error)
            return
        job = Job(self.records, line, record, read_at, History(record.safe))
        if crashed:
            job.declared = True
            job.history.cut_short(_CRASH)
            job.history.spent = 1
        self._held_bytes += len(record.envelope)
        if not (record.safe or self._protected):
            self._protected = True  # told once
            self._observer.notice(Unprotected(line.number))
        if self.submitter.gate.closed or (crashed and not self._policy.may_resend(safe=record.safe)):
            self.submitter.refuse(job)
        else:
            self.submitter.add(job)

    def _refuse(self, line: Line, error: RecordError) -> None:
        result = invalid(line, error, self._reader, self.records)
        self._observer.notice(RecordEnded(result))
        self._put(result, len(line.raw))

    def _finish(self, job: Job, result: Result) -> None:
        self._put(result, len(job.line.raw) + len(job.record.envelope))

    def _put(self, result: Result, size: int) -> None:
        if self._sink_broken:
            self._written(1, size)
        else:
            self._sink.put(result, size)
        self._unfinished -= 1
        reason = self._stop.hear(result.outcome)
        if reason is not None and not self.submitter.gate.closed:
            self.drain(Ending(STOPPED, reason), "stopped")
        self._settle()

    def _written(self, count: int, size: int) -> None:
        self._held_records -= count
        self._held_bytes -= size
        self._room.set()

    def _settle(self) -> None:
        """Once every line that was read has its result, and no more will be read, the run is done."""
        if self._read_all and not self._unfinished:
            self._done.set()

    def _give_up(self, error: ServiceUnusable) -> None:
        self.drain(Ending(error.exit_code, str(error)), "outage")

    async def _write(self) -> None:
        try:
            await self._sink.run(self._written)
        except OutputFailed as error:
            self._sink_broken = True
            self.drain(Ending(error.exit_code, str(error)), "stopped")
            self._held_records = self._held_bytes = 0

    async def _watch(self) -> None:
        """End a run whose service has been unusable for too long."""
        gate, breaker = self.submitter.gate, self._breaker
        while True:
            await asyncio.sleep(_LOOK)
            since = gate.unusable_since
            if since is not None and self._clock() - since >= self._times.max_outage and not gate.closed:
                detail = f": {breaker.detail}" if breaker.is_open else ": it asked to wait, or nobody could log in"
                reason = f"the service was unusable for {self._times.max_outage:g} s{detail}"
                self.drain(Ending(ServiceUnusable.exit_code, reason), "outage")


def invalid(line: Line, error: RecordError, reader: RecordReader, ordinal: int = 0) -> Result:
    """The result of a line, the run's record number *ordinal*, that cannot become a record because of *error*."""
    truncated = line.size > len(line.raw)
    return Result(
        line=line.number,
        outcome=Outcome.INVALID,
        key=None if line.problem is not None else key_as_json(reader.key_of(line.raw)),
        attempts=0,
        seconds=0.0,
        hash=line.hash,
        problem=Problem(error.kind, error.message, error.field),
        input=line.input,
        ordinal=ordinal,
        raw=line.raw,
        truncated=truncated,
    )
