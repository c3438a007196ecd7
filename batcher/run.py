"""A run from its settings to its exit code: starts it, hears signals, and tells how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

from batcher.build import Kept, Parts, name_outputs, open_outputs, open_source
from batcher.core.events import Observer
from batcher.core.result import Result
from batcher.core.verdict import Outcome
from batcher.errors import LedgerInUse, OutputFailed, RunAborted
from batcher.flow.ledger.lock import Lock
from batcher.flow.pipeline import INTERRUPTED, Ending, Pipeline
from batcher.flow.sink import LineFile, QueueSink, Sink
from batcher.flow.source import FileSource, IterableSource
from batcher.flow.transport import SessionTransport
from batcher.observe.lines import Lines
from batcher.observe.logs import EventLog, logging_to
from batcher.observe.observers import Observers
from batcher.observe.progress import make_progress, shown
from batcher.observe.summary import Position, Summary
from batcher.observe.tally import Gauges, Tally
from batcher.settings import Settings
from batcher.signals import draining, interrupted

_PRECEDENCE = (9, 8, 2, 1, 5, 7, 6, 4, 3)
"""Of exit codes, where several hold."""
_HOLDS_UP = 256
"""Records of one key that wait at once: a good part of all that are read ahead."""
_LOOK = 0.1
"""Seconds between two looks whether the ledger is free."""


def submit_command(settings: Settings) -> int:
    """Submit the records of ``settings.inputs`` and return the exit code.

    Raises:
        SettingsError: the run cannot begin with these settings; nothing was sent or written.
        RunAborted: an input or output cannot be opened; nothing was sent.
    """
    lines = Lines(sys.stderr)
    with logging_to(lines, level=settings.log_level, style=settings.log_format):
        return uvloop.run(run_submit(settings, lines))


async def run_submit(settings: Settings, lines: Lines) -> int:
    """The submit command within a running event loop; what people read goes to *lines*."""
    return await _Command(settings, lines).run()


async def submit(
    records: Iterable[Any] | AsyncIterable[Any], settings: Settings, observer: Observer | None = None
) -> AsyncGenerator[Result, None]:
    """Submit *records* and yield one result for each, in finishing order: what the command does, for programs.

    Args:
        records: objects (``dict``), or lines of JSON (``str``, ``bytes``); the first one is line 1.
        settings: as for the command; ``inputs``, ``results``, ``rejects``, ``summary`` and the metrics do not count.
        observer: hears what happens, if given.

    Raises:
        SettingsError: the run cannot begin with these settings.
        RunAborted: after the last result, where the run ended before its records did.
    """
    sink = QueueSink()
    source = IterableSource(records, max_line_bytes=settings.max_line_bytes, skip=settings.skip, limit=settings.limit)
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
        worst = min(pipeline.endings, key=lambda ending: _PRECEDENCE.index(ending.exit_code))
        error = RunAborted(worst.reason)
        error.exit_code = worst.exit_code
        raise error


class _Command:
    """The submit command from its beginning to its exit code."""

    def __init__(self, settings: Settings, lines: Lines) -> None:
        self._settings = settings
        self._lines = lines
        self._tally = Tally()
        self._files: dict[str, str] = {}
        self._endpoint = urlsplit(settings.require_endpoint()).netloc

    async def run(self) -> int:
        settings, tally = self._settings, self._tally
        source = open_source(settings)
        progress = make_progress(settings.progress, tally, self._lines, os.environ)
        others: list[Observer] = [EventLog()] if progress is None else [EventLog(), progress]
        parts = Parts(settings, Observers(tally, *others))
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(parts.transport.close)
            await self._serve_metrics(stack)
            kept, sink = await self._open_outputs(parts, stack)
            # Already now: who cannot write it says so before anything is sent.
            summary = None if settings.summary is None else LineFile(settings.summary)
            pipeline = parts.pipeline(source, sink, kept)
            self._connect(pipeline, parts.transport, source, kept)
            stack.enter_context(
                draining(pipeline, self._lines.write, settings.drain_timeout, ledger=settings.ledger is not None)
            )
            await stack.enter_async_context(shown(progress))
            await pipeline.run()
        return self._end(pipeline, summary)

    async def _open_outputs(self, parts: Parts, stack: contextlib.AsyncExitStack) -> tuple[Kept | None, Sink]:
        ledger = self._settings.ledger
        if ledger is None:
            sink, self._files = open_outputs(self._settings)
            return None, sink
        files = name_outputs(self._settings)
        kept = await self._keep_ledger(parts, ledger, files)
        stack.callback(kept.close)
        self._files = {name: path for name, path in files.items() if path != "-"} | {"ledger": ledger}
        self._tally.earlier = kept.earlier
        return kept, kept.writer

    async def _keep_ledger(self, parts: Parts, ledger: str, files: Mapping[str, str]) -> Kept:
        """The run's ledger, once no other run writes it."""
        settings, clock = self._settings, asyncio.get_running_loop().time
        until = clock() + settings.ledger_wait
        while True:
            try:
                return parts.keep_ledger(ledger, files)
            except LedgerInUse:
                if clock() >= until:
                    raise
            wait = f"waiting up to {settings.ledger_wait:g} s for its end"
            with interrupted() as signalled:
                self._lines.write(f"veetro-batch: another run is writing the ledger {ledger}: {wait}")
                while clock() < until and _is_locked(ledger):
                    await asyncio.wait([signalled], timeout=_LOOK)
                    if signalled.done():
                        error = RunAborted(f"{signalled.result().name} was received while waiting for the ledger")
                        error.exit_code = INTERRUPTED
                        raise error

    def _connect(self, pipeline: Pipeline, transport: SessionTransport, source: FileSource, kept: Kept | None) -> None:
        submitter = pipeline.submitter
        self._tally.gauges = lambda: Gauges(
            in_flight=submitter.gate.in_flight,
            waiting=submitter.waiting,
            limit=submitter.limit,
            connections=transport.connections(),
            opened=transport.opened,
            uncommitted=0 if kept is None else kept.writer.uncommitted,
        )
        self._tally.input_size = source.total_bytes
        self._tally.input_read = lambda: source.bytes_read

    async def _serve_metrics(self, stack: contextlib.AsyncExitStack) -> None:
        port = self._settings.metrics_port
        if port is None:
            return
        # Only here: the web server takes a fifth of a second to import, and most runs have no use for it.
        from batcher.observe.exporter import Exporter  # noqa: PLC0415
        from batcher.observe.lag import sample_lag  # noqa: PLC0415
        from batcher.observe.metrics import make_registry  # noqa: PLC0415

        exporter = Exporter(
            self._tally, make_registry(self._tally), self._status, port=port, host=self._settings.metrics_host
        )
        await stack.enter_async_context(exporter)
        lag = asyncio.create_task(sample_lag(self._tally.loop_lag))
        stack.callback(lag.cancel)
        self._lines.write(f"veetro-batch: metrics at http://{exporter.host}:{exporter.port}/metrics")

    def _status(self) -> Mapping[str, object]:
        return Summary.of(self._tally, endpoint=self._endpoint, files=self._files).to_json()

    def _end(self, pipeline: Pipeline, file: LineFile | None) -> int:
        """Tell how the run ended, in *file* too, and return the exit code."""
        summary = self._summarize(pipeline, exit_code(pipeline.endings, self._tally, self._settings))
        if file is not None:
            try:
                file.write(orjson.dumps(summary.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
                file.close()
            except OutputFailed as error:
                reason = "; ".join(filter(None, (summary.reason, str(error))))
                summary = dataclasses.replace(summary, exit_code=OutputFailed.exit_code, reason=reason)
        code = summary.exit_code or 0
        self._tally.end(code)
        self._lines.write(summary.to_text())
        return code

    def _summarize(self, pipeline: Pipeline, code: int) -> Summary:
        files, last = self._files, pipeline.last if pipeline.endings else None
        if self._settings.summary is not None:
            files["summary"] = self._settings.summary
        return Summary.of(
            self._tally,
            exit_code=code,
            reason="; ".join(ending.reason for ending in pipeline.endings),
            endpoint=self._endpoint,
            files=files,
            read_through=None if last is None or self._settings.ledger else Position(last.number, last.input),
            notes=_notes(pipeline),
        )


def _notes(pipeline: Pipeline) -> Iterator[str]:
    if not pipeline.records:
        yield "there was no record in the input"
    key, waited = pipeline.submitter.longest_lane
    if waited >= _HOLDS_UP:
        yield (
            f"{waited:,} records waited at once for others of their key {key}, because those of a key go one after "
            "another: if it holds up the run, choose --order-by otherwise, or none"
        )


def exit_code(endings: Iterable[Ending], tally: Tally, settings: Settings) -> int:
    """What a run's process ends with."""
    outcomes = tally.all_outcomes
    codes = {ending.exit_code for ending in endings}
    if outcomes[Outcome.IN_DOUBT]:
        codes.add(4)
    if outcomes[Outcome.REJECTED] + outcomes[Outcome.INVALID] > settings.allow_rejected.of(sum(outcomes.values())):
        codes.add(3)
    return next((code for code in _PRECEDENCE if code in codes), 0)


def _is_locked(ledger: str) -> bool:
    try:
        Lock(ledger, 0.0).close()
    except LedgerInUse:
        return True
    return False
