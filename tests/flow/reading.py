"""For tests that read a source to its end."""

from __future__ import annotations

from batcher.flow.lines import Line
from batcher.flow.source import FileSource


async def read(source: FileSource) -> list[Line]:
    """All lines; closes it."""
    lines: list[Line] = []
    try:
        while batch := await source.read():
            lines += batch
    finally:
        await source.close()
    return lines
