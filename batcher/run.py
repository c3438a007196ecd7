"""A run from its settings to its exit code: starts it, hears signals, and tells how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Iterator, Mapping
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

from batcher.again import Again, notes
from batcher.build import Parts, open_given, open_rejects, open_source
from batcher.core.events import Observer
from batcher.core.result import Result
from batcher.core.verdict import Outcome
from batcher.errors import LedgerInUse, OutputFailed, RunAborted, SettingsError
from batcher.flow.ledger.access import is_written
from batcher.flow.ledger.address import is_database, ledger_name, of_shard
from batcher.flow.ledger.moving import Moving
from batcher.flow.ledger.reopened import Reopened
from batcher.flow.output import LineFile
from batcher.flow.pipeline import INTERRUPTED, Ending, Pipeline
from batcher.flow.sink import QueueSink, Sink
from batcher.flow.source import FileSource, Source
from batcher.flow.transport import CountedTransport
from batcher.heap import keep_heap_trimmed
from batcher.kept import Kept
from batcher.observe.closing import PRECEDENCE, advice
from batcher.observe.lines import Lines
from batcher.observe.logs import EventLog, logging_to
from batcher.observe.observers import Observers
from batcher.observe.progress import make_progress, shown
from batcher.observe.summary import Summary
from batcher.observe.tally import Gauges, Position, Tally
from batcher.outputs import name_outputs, open_outputs
from batcher.readers import read_by_others
from batcher.settings import Settings
from batcher.signals import draining, interrupted
from batcher.watch import Watch

_HOLDS_UP = 256
"""Records of one key that wait at once: a good part of all that are read ahead."""
_UNREAD = "nobody reads the results: the last lines"
_LAST_ROW = 2.0
"""Seconds that the ledger may take for the end of a run that is stuck."""
_LOOK, _FAR_LOOK = 0.1, 0.5
"""Seconds between two looks whether the ledger is free: a file, or one in a database."""


def submit_command(settings: Settings) -> int:
    """Submit the records of ``settings.inputs`` and return the exit code.

    Raises:
        SettingsError: the run cannot begin with these settings; nothing was sent or written.
        RunAborted: an input or output cannot be opened; nothing was sent.
    """
    lines = Lines(sys.stderr)
    with logging_to(lines, level=settings.log_level, style=settings.log_format):
        return _run(run_submit(settings, lines))


def resubmit_command(settings: Settings, again: Again) -> int:
    """Submit records once more, as ``submit_command`` does, and return the exit code."""
    lines = Lines(sys.stderr)
    with logging_to(lines, level=settings.log_level, style=settings.log_format):
        return _run(_Command(settings, lines, again).run())


def _run(command: Coroutine[Any, Any, int]) -> int:
    """Run *command* as all that this process does, and return its exit code.

    What is loaded by now stays, and a record leaves no cycles behind: to look for some as often as Python does by
    itself would take a twentieth of the time.
    """
    keep_heap_trimmed()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    return uvloop.run(command)


async def run_submit(settings: Settings, lines: Lines) -> int:
    """The submit command within a running event loop; what people read goes to *lines*."""
    return await _Command(settings, lines).run()


async def submit(
    records: Iterable[Any] | AsyncIterable[Any], settings: Settings, observer: Observer | None = None
) -> AsyncGenerator[Result, None]:
    """Submit *records* and yield one result for each, in finishing order: what the command does, for programs.

    Args:
        records: objects (``dict``), or lines of JSON (``str``, ``bytes``); the first one is line 1.
        settings: as for the command; ``inputs``, ``results``, ``rejects``, ``summary``, ``report`` and the metrics do
            not count.
        observer: hears what happens, if given.

    Raises:
        SettingsError: the run cannot begin with these settings. A ledger is the command's alone: to go on as if there
            were none would send twice what it holds.
        RunAborted: after the last result, where the run ended before its records did.
    """
    if settings.ledger is not None:
        remedy = "leave it out, or give the records to the command, as lines of JSON"
        raise SettingsError("--ledger", "records that a program gives are sent without one", remedy)
    sink = QueueSink()
    source = open_given(settings, records)
    parts = Parts(settings, observer or Tally())
    pipeline = parts.pipeline(source, sink)
    running = asyncio.create_task(pipeline.run())
    running.add_done_callback(lambda _: sink.finish())
    try:
        while (result := await sink.take()) is not None:
            yield result
        await running
    finally:
        try:
            if not running.done():
                pipeline.drain(Ending(INTERRUPTED, "the caller wants no more results"), "interrupted")
                pipeline.leave()
                while await sink.take() is not None:
                    pass
                await running
        finally:
            await parts.transport.close()
    if pipeline.endings:
        worst = min(pipeline.endings, key=lambda ending: PRECEDENCE.index(ending.exit_code))
        error = RunAborted(worst.reason)
        error.exit_code = worst.exit_code
        raise error


class _Command:
    """The submit and resubmit commands from their beginning to their exit code."""

    def __init__(self, settings: Settings, lines: Lines, again: Again | None = None) -> None:
        self._settings = settings
        self._again = again
        self._notes: list[str] = []
        self._lines = lines
        self._tally = Tally()
        self._files: dict[str, str] = {}
        self._stuck = False
        self._cut: str | None = None
        self._endpoint = urlsplit(settings.require_endpoint()).netloc
        self._watch = Watch(settings, self._tally, lines, self._so_far)

    async def run(self) -> int:
        """Run and return the exit code."""
        async with contextlib.AsyncExitStack() as watched:
            pipeline, summary = await self._run(watched)
            code = await self._end(pipeline, summary)
            await self._watch.linger()
        if self._stuck:
            os._exit(code)  # a thread that writes what nobody reads cannot be woken, and would be waited for
        return code

    async def _run(self, watched: contextlib.AsyncExitStack) -> tuple[Pipeline, LineFile | None]:
        """The run itself; what lasts beyond its end is entered in *watched*."""
        settings, tally = self._settings, self._tally
        of_rejects = self._again is not None and not self._again.of_ledger
        source: Source = open_rejects(settings) if of_rejects else open_source(settings)
        self._cut = source.cut if isinstance(source, FileSource) else None
        progress = make_progress(settings.progress, tally, self._lines, os.environ, f"veetro-batch to {self._endpoint}")
        others: list[Observer] = [EventLog(), self._watch.recorder]
        parts = Parts(settings, Observers(tally, *others, *([] if progress is None else [progress])))
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(parts.transport.close)
            await watched.enter_async_context(self._watch.watching())
            written = filter(None, (settings.results, settings.rejects, settings.summary))
            async with read_by_others(written, self._lines.note):
                kept, sink = await self._open_outputs(parts, stack)
                # Already now: who cannot write it says so before anything is sent.
                summary = None if settings.summary is None else LineFile(settings.summary)
            if kept is not None and isinstance(kept.memory, Reopened):
                source = kept.memory
            if kept is not None and isinstance(kept.memory, Moving) and isinstance(source, FileSource):
                source.take_by(kept.memory.keys)
            pipeline = parts.pipeline(source, sink, kept)
            self._connect(pipeline, parts.transport, source, kept)
            patience = stack.enter_context(draining(pipeline, self._lines.note, settings.drain_timeout))
            if kept is not None:
                kept.writer.patient = lambda: not patience.limited
            await stack.enter_async_context(shown(progress))
            self._stuck = not await patience.outlasts(pipeline.run())
            await self._close_books(pipeline, kept)
        return pipeline, summary

    async def _close_books(self, pipeline: Pipeline, kept: Kept | None) -> None:
        """Tell of results that nobody has read, and in the ledger how the run has ended."""
        endings = pipeline.endings
        if kept is None:
            if self._stuck:
                endings.append(Ending(OutputFailed.exit_code, f"{_UNREAD} are lost"))
            return
        if self._stuck or kept.writer.unread:
            endings.append(Ending(INTERRUPTED, f"{_UNREAD} are in the ledger alone"))
        # On a thread, because what the run is stuck in may be the ledger's disk.
        writing = asyncio.to_thread(kept.end, exit_code(endings, self._tally, self._settings), self._watch.account())
        try:
            await asyncio.wait_for(writing, _LAST_ROW if self._stuck else None)
        except TimeoutError:
            # So that is what it is stuck in, and not a reader.
            endings[-1:] = [Ending(OutputFailed.exit_code, "the ledger cannot be written")]
        except RunAborted as error:  # it is gone, or another file in its place
            endings.append(Ending(error.exit_code, str(error)))

    def _let_go(self, kept: Kept) -> None:
        # The writer of a run that is stuck may still be at the ledger: it is another run's once the process has ended.
        if not self._stuck:
            kept.close()

    async def _open_outputs(self, parts: Parts, stack: contextlib.AsyncExitStack) -> tuple[Kept | None, Sink]:
        ledger = self._settings.ledger
        if ledger is None:
            sink, self._files = open_outputs(self._settings)
            return None, sink
        shard = self._settings.shard
        ledger = of_shard(ledger, None if shard is None else str(shard))
        files, shown = name_outputs(self._settings), ledger_name(ledger)
        kept = await self._keep_ledger(parts, ledger, files)
        stack.callback(self._let_go, kept)
        self._files = {name: path for name, path in files.items() if path != "-"} | {"ledger": shown}
        self._tally.earlier = kept.earlier
        self._notes += notes(kept.left, shown)
        return kept, kept.writer

    async def _keep_ledger(self, parts: Parts, ledger: str, files: Mapping[str, str]) -> Kept:
        """The run's ledger, once no other run writes it."""
        settings, clock = self._settings, asyncio.get_running_loop().time
        until, told = clock() + settings.ledger_wait, False
        look = _FAR_LOOK if is_database(ledger) else _LOOK
        while True:
            try:
                return parts.keep_ledger(ledger, files, self._again, self._cut)
            except LedgerInUse:
                if clock() >= until:
                    raise
            wait = f"waiting up to {settings.ledger_wait:g} s for its end"
            with interrupted() as signalled:
                if not told:
                    self._lines.note(f"another run is writing the ledger {ledger_name(ledger)}: {wait}")
                told, waits = True, True
                while waits:
                    await asyncio.wait([signalled], timeout=look)
                    if signalled.done():
                        error = RunAborted(f"{signalled.result().name} was received while waiting for the ledger")
                        error.exit_code = INTERRUPTED
                        raise error
                    waits = clock() < until and _may_be_written(ledger)

    def _connect(self, pipeline: Pipeline, transport: CountedTransport, source: Source, kept: Kept | None) -> None:
        submitter = pipeline.submitter
        if kept is not None:
            self._watch.keep(kept.writer, kept.accounts)
        self._tally.gauges = lambda: Gauges(
            in_flight=submitter.gate.in_flight,
            waiting=submitter.waiting,
            limit=submitter.limit,
            connections=transport.connections(),
            opened=transport.opened,
            uncommitted=0 if kept is None else kept.writer.uncommitted,
        )
        waits = transport.waits
        self._tally.slots = pipeline.slots.workers
        self._tally.slot_seconds = lambda: pipeline.slots.seconds(monotonic(), *waits)
        self._tally.input_size = source.total_bytes
        self._tally.input_read = lambda: source.bytes_read

    def _so_far(self) -> Summary:
        return Summary.of(self._tally, endpoint=self._endpoint, files=self._files)

    async def _end(self, pipeline: Pipeline, file: LineFile | None) -> int:
        """Tell how the run ended, in *file* too, and return the exit code."""
        code = exit_code(pipeline.endings, self._tally, self._settings)
        summary = await self._watch.end(self._summarize(pipeline, code))
        if file is not None:
            try:
                file.write(orjson.dumps(summary.to_json(), option=orjson.OPT_APPEND_NEWLINE))
                file.close()
            except OutputFailed as error:
                summary = summary.failed(error)
                self._tally.end(error.exit_code)
        self._lines.tell("summary", summary.to_text(), {**summary.to_json(), "advice": list(advice(summary))})
        return summary.exit_code or 0

    def _summarize(self, pipeline: Pipeline, code: int) -> Summary:
        files, last = self._files, pipeline.last if pipeline.endings else None
        written = ("summary", self._settings.summary), ("report", self._settings.report)
        files |= {name: path for name, path in (*written, ("metrics", self._settings.metrics_file)) if path is not None}
        return Summary.of(
            self._tally,
            exit_code=code,
            reason="; ".join(ending.reason for ending in pipeline.endings),
            endpoint=self._endpoint,
            files=files,
            read_through=None if last is None or self._settings.ledger else Position(last.number, last.input),
            notes=[*_notes(pipeline, self._again, self._settings), *self._notes],
        )


def _notes(pipeline: Pipeline, again: Again | None, settings: Settings) -> Iterator[str]:
    if not pipeline.records:
        where = "in the input" if settings.shard is None else f"of shard {settings.shard} in the input"
        of_ledger = again is not None and again.of_ledger
        yield "there was nothing to submit again" if of_ledger else f"there was no record {where}"
    elif settings.shard_by == "range":
        yield (
            f"lines are counted from where shard {settings.shard} of each input begins; the offset of a result tells"
            " the byte at which its line stands"
        )
    key, waited = pipeline.submitter.longest_lane
    if waited >= _HOLDS_UP:
        yield (
            f"{waited:,} records waited at once for others of their key {key}, because those of a key go one after "
            "another: if it holds up the run, choose --order-by otherwise, or none"
        )


def _may_be_written(ledger: str) -> bool:
    try:
        return is_written(ledger)
    except OutputFailed:  # a database that was there a moment ago, and will be again
        return True


def exit_code(endings: Iterable[Ending], tally: Tally, settings: Settings) -> int:
    """What a run's process ends with."""
    outcomes = tally.all_outcomes
    codes = {ending.exit_code for ending in endings}
    if outcomes[Outcome.IN_DOUBT]:
        codes.add(4)
    # Where nothing but a strict order left records unsent, they are not delivered for the sake of such a record.
    not_delivered = outcomes[Outcome.REJECTED] + outcomes[Outcome.INVALID] + outcomes[Outcome.UNSENT]
    if not_delivered > settings.allow_rejected.of(sum(outcomes.values())):
        codes.add(3)
    return next((code for code in PRECEDENCE if code in codes), 0)
