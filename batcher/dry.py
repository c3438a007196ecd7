"""The commands that send nothing: check and render."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from lxml import etree

from batcher.build import open_source, record_reader
from batcher.core.events import Observer, RecordEnded, RecordRead
from batcher.core.record import Record, RecordReader
from batcher.errors import RecordError
from batcher.flow.output import LineFile
from batcher.flow.pipeline import invalid
from batcher.flow.source import FileSource, Line
from batcher.observe.lines import Lines
from batcher.observe.logs import logging_to
from batcher.observe.progress import make_progress, shown
from batcher.observe.tally import Tally
from batcher.observe.words import plural
from batcher.outputs import open_outputs
from batcher.settings import Settings

_SOME_INVALID = 3


def check_command(settings: Settings) -> int:
    """Read, validate and render every record; the result lines are those of the invalid ones.

    Raises:
        SettingsError: the settings make no sense.
        RunAborted: an input cannot be read to its end, or an output cannot be written; what was read was checked.
    """
    lines = Lines(sys.stderr)
    with logging_to(lines, level=settings.log_level, style=settings.log_format):
        return asyncio.run(_check(settings, lines))


def render_command(settings: Settings, *, pretty: bool) -> int:
    """Print each record's envelope, one a line, or indented over several if *pretty*; errors go to standard error.

    Raises:
        SettingsError: the settings make no sense.
        RunAborted: an input cannot be read to its end, or standard output cannot be written.
    """
    return asyncio.run(_render(settings, Lines(sys.stderr), pretty=pretty))


async def _check(settings: Settings, lines: Lines) -> int:
    operation, reader = record_reader(settings)
    source = open_source(settings)
    sink, files = open_outputs(settings)
    tally = Tally()
    tally.input_size = source.total_bytes
    tally.input_read = lambda: source.bytes_read
    async with shown(make_progress(settings.progress, tally, lines, os.environ, "veetro-batch check")):
        writing = asyncio.create_task(sink.run(lambda _count, _size: None))
        bad = 0
        try:
            async for line, found in _records(source, reader, tally):
                if isinstance(found, RecordError):
                    bad += 1
                    result = invalid(line, found, reader)
                    tally.notice(RecordEnded(result))
                    sink.put(result, 0)
                else:
                    tally.passed += 1
                if writing.done():
                    break
        finally:
            sink.finish()
            await writing
    total = tally.input_records
    text = f"{plural(total, 'record')}: {total - bad:,} can be sent by {operation.name}, {bad:,} are invalid"
    named = [f"{name}: {path}" for name, path in files.items()]
    lines.tell("checked", "\n".join([text, *named]), {"records": total, "invalid": bad, "files": files})
    return _SOME_INVALID if bad else 0


async def _render(settings: Settings, lines: Lines, *, pretty: bool) -> int:
    _, reader = record_reader(settings)
    output = LineFile("-")
    bad = 0
    async for line, found in _records(open_source(settings), reader, Tally()):
        if isinstance(found, RecordError):
            bad += 1
            found.line = line.number
            lines.write(f"veetro-batch: {line.input + ': ' if line.input else ''}{found}")
        elif pretty:
            tree = etree.fromstring(found.envelope)
            etree.indent(tree)
            output.write(etree.tostring(tree, xml_declaration=True, encoding="utf-8") + b"\n")
        else:
            # Between the elements of an envelope there is no line end, so each one stands within a value.
            output.write(found.envelope.replace(b"\n", b"&#xA;") + b"\n")
    output.close()
    return _SOME_INVALID if bad else 0


async def _records(
    source: FileSource, reader: RecordReader, observer: Observer
) -> AsyncIterator[tuple[Line, Record | RecordError]]:
    """Every line of *source* with its record, or why it is none."""
    try:
        while lines := await source.read():
            await asyncio.sleep(0)
            for line in lines:
                observer.notice(RecordRead(line.size))
                try:
                    if line.problem is not None:
                        raise line.problem
                    yield line, reader.read(line.raw)
                except RecordError as error:
                    yield line, error
    finally:
        await source.close()
