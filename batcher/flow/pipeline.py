"""From lines to results: reads ahead a bounded way, submits, and accounts for every line, however the run ends.

A record counts as held from its reading until its result line is out. Reading waits while too much is held: this one
rule bounds the memory, and makes a slow service, a slow disk and a slow reader of our results slow the reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batcher.core.events import Draining, Observer, RecordEnded, RecordRead, RecordResumed, Unprotected
from batcher.core.record import RecordReader
from batcher.core.result import Result
from batcher.core.retry import History
from batcher.core.slots import Slots, State
from batcher.core.stop import StopRule
from batcher.core.verdict import Outcome, Problem
from batcher.errors import LedgerRefused, RecordError, RunAborted, ServiceUnusable
from batcher.flow.ending import INTERRUPTED, STOPPED, Ending, Times
from batcher.flow.intents import Intents
from batcher.flow.job import Job
from batcher.flow.ledger.memory import Past, Recalls
from batcher.flow.results import invalid
from batcher.flow.room import Room
from batcher.flow.sink import Sink
from batcher.flow.source import Line, Source
from batcher.flow.submit import Service, Submitter

__all__ = ["INTERRUPTED", "STOPPED", "Ending", "Pipeline", "Times", "invalid"]

_AT_A_TIME, _AT_MOST = 16, 128
"""Lines between two looks of the event loop at its sockets; more while few records wait at the gate: a worker that
finds one there takes it at once, and one that has to be woken for it costs much more."""
_LOOK = 0.2
"""Seconds between two looks at how long an outage has lasted."""

_CRASH = Problem("crash", "an earlier run was killed between sending it and writing down the answer")


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
        memory: what earlier runs have left.
        strict: whether a record that was not delivered blocks later ones of its key.
        observer: hears what happens.
        clock: seconds, monotonic.
        wall: seconds since 1970.

    Attributes:
        room: what is held.
        slots: where the workers' time goes.
        endings: why the run ends early; several reasons can come together.
        last: the last line that was read.
        records: how many were read.
        read_whole: the input was read to its end, or to where its limit ends it.
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
        memory: Recalls | None = None,
        strict: bool = False,
    ) -> None:
        self._memory = memory
        self._strict = strict
        self._with_ledger = self._protected = intents is not None
        self._policy = service.policy
        self._source = source
        self._reader = reader
        self._breaker = service.breaker
        self._workers = workers
        self.room = Room(workers)
        self._sink = sink
        self._stop = stop
        self._times = times
        self._observer = observer
        self._clock = clock
        self.submitter = Submitter(service, observer, self._put, self._give_up, clock, wall, intents, strict=strict)
        self._gate = self.submitter.gate
        self.slots = Slots(workers, clock())
        self.submitter.keep_account(self.slots, self._lack)
        self.endings: list[Ending] = []
        self.last: Line | None = None
        self.records = 0
        self.read_whole = False
        self._unfinished = 0
        self._untold_records = self._untold_size = 0
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
            self.slots.end(self._clock())
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
        if self._gate.closed:
            return
        self._tell_read()
        self._observer.notice(Draining(ending.reason))
        self._source.stop()
        self.submitter.abandon(kind, ending.reason)
        self.room.open()
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
                    await self._memory.look_up(self.records + 1, lines)
                read_at = self._clock()
                for number, line in enumerate(lines):
                    if self.room.full:
                        self._tell_read()
                        await self.room.wait()
                    if number % _AT_A_TIME == 0 and (number % _AT_MOST == 0 or not self._gate.hungry):
                        self._tell_read()
                        await asyncio.sleep(0)
                    self._take(line, read_at)
                self._tell_read()
            if not self._gate.closed:
                if self._memory is not None:
                    self._memory.end(self.records)
                self.read_whole = True
        except LedgerRefused as error:
            self.drain(Ending(error.exit_code, str(error)), "stopped")
        except RunAborted as error:
            self.endings.append(Ending(error.exit_code, str(error)))
        self._tell_read()
        self._read_all = True
        self._settle()

    def _tell_read(self) -> None:
        """Tell of what was read since the last time: an event for each line would cost more than to count it."""
        if self._untold_records:
            self._observer.notice(RecordRead(self._untold_size, self._untold_records))
            self._untold_records = self._untold_size = 0

    def _take(self, line: Line, read_at: float) -> None:
        number = self.records + 1
        past = None if self._memory is None else self._memory.recall(number, line)
        self.records = number
        if past is not None and past.known is not None:
            self._observer.notice(RecordResumed(line.size))
            if past.known.outcome is not Outcome.DELIVERED:
                self._block(line, past.ordinal)
            return
        raw, _, _, _, _, size, problem, _ = line  # by name each of them costs as much as all together
        self._untold_records += 1
        self._untold_size += size
        self.last = line
        self._unfinished += 1
        room = self.room
        room.records += 1
        held = len(raw)
        try:
            if problem is not None:
                raise problem
            record = self._reader.read(raw)
        except RecordError as error:
            room.size += held
            self._refuse(line, error, past or Past(number))
            return
        envelope, _, safe = record
        held += len(envelope)
        room.size += held
        if not (safe or self._protected):
            self._protected = True  # told once
            self._observer.notice(Unprotected(line.number))
        job = Job(number, line, record, read_at, History(safe), held)
        may_be_sent = past is None or self._take_up(job, past)
        if may_be_sent and not self._gate.closed:
            self.submitter.add(job)
        else:
            self.submitter.refuse(job)

    def _take_up(self, job: Job, past: Past) -> bool:
        """Let *job* go on from its *past*; whether it may be sent."""
        history = job.history
        job.ordinal, job.origin = past.ordinal, past.origin
        if past.origin is not None:
            history.doubt = past.origin.doubt
        if past.sent:
            job.declared = True
            history.cut_short(_CRASH)
            history.spent = 1
        return history.doubt is None or self._policy.may_resend(safe=job.record.safe)

    def _block(self, line: Line, ordinal: int) -> None:
        """In a strict order a line that was not delivered, in this run or an earlier one, blocks its key."""
        if self._strict and line.problem is None:
            self.submitter.block(self._reader.key_of(line.raw), ordinal, line)

    def _refuse(self, line: Line, error: RecordError, past: Past) -> None:
        self._block(line, past.ordinal)
        result = invalid(line, error, self._reader, past.ordinal, past.origin)
        self._observer.notice(RecordEnded(result))
        self._put(result, len(line.raw))

    def _put(self, result: Result, size: int) -> None:
        """A line has its *result*, and *size* bytes are held for it."""
        if self._sink_broken:
            self.room.free(1, size)
        else:
            self._sink.put(result, size)
        self._unfinished -= 1
        reason = self._stop.hear(result.outcome)
        if reason is not None and not self._gate.closed:
            self.drain(Ending(STOPPED, reason), "stopped")
        if not self._unfinished:
            self._settle()

    def _lack(self) -> State:
        """What a worker waits for where no record waits."""
        written: State = "ledger" if self._with_ledger else "output"
        if self._gate.closed:
            return written if self._done.is_set() else "pause"
        return written if self.room.full and self.room.records > self._unfinished else "input"

    def _settle(self) -> None:
        """Once every line that was read has its result, and no more will be read, the run is done."""
        if self._read_all and not self._unfinished:
            self._done.set()

    def _give_up(self, error: ServiceUnusable) -> None:
        self.drain(Ending(error.exit_code, str(error)), "outage")

    async def _write(self) -> None:
        try:
            await self._sink.run(self.room.free)
        except RunAborted as error:
            self._sink_broken = True
            self.drain(Ending(error.exit_code, str(error)), "stopped")
            self.room.clear()

    async def _watch(self) -> None:
        """End a run whose service has been unusable for too long."""
        gate, breaker = self._gate, self._breaker
        while True:
            await asyncio.sleep(_LOOK)
            since = gate.unusable_since
            if since is not None and self._clock() - since >= self._times.max_outage and not gate.closed:
                detail = f": {breaker.detail}" if breaker.is_open else ": it asked to wait, or nobody could log in"
                reason = f"the service was unusable for {self._times.max_outage:g} s{detail}"
                self.drain(Ending(ServiceUnusable.exit_code, reason), "outage")
