"""A rejects file as the input of a run: each of its lines is the record that it carries, and knows what had come of it.

A line has its number in the rejects file, and its record's own bytes and hash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from batcher.core.reject import digest, read_reject
from batcher.core.result import RAW_LIMIT, Origin
from batcher.errors import RecordError
from batcher.flow.ledger.memory import Past, Recalls
from batcher.flow.lines import Line, make_line
from batcher.flow.source import FileSource

_WRAPPING_BYTES = RAW_LIMIT
"""What a rejects line has beside its record, at most: texts of others are cut long before."""


class Rejects:
    """A source, and what knows the past of its lines. For one reader.

    Args:
        source: of the rejects lines.
        max_line_bytes: a longer record is handed out as a problem.

    Attributes:
        memory: of the ledger that the run keeps, if it keeps one: what it knows comes first.
        total_bytes: of all inputs as they are stored, or None.
        bytes_read: how far the lines that were handed out reach into that.
    """

    def __init__(self, source: FileSource, max_line_bytes: int) -> None:
        self._source = source
        self._max_line_bytes = max_line_bytes
        self._origins: deque[Origin | None] = deque()
        self.memory: Recalls | None = None
        self.total_bytes = source.total_bytes
        self.bytes_read = 0

    @staticmethod
    def longest(max_line_bytes: int) -> int:
        """How long a rejects line may be where a record may have *max_line_bytes*."""
        return 6 * max_line_bytes + _WRAPPING_BYTES  # a control character in a text takes six bytes

    async def read(self) -> list[Line]:
        """The next lines, at least one; none at the end or once stopped."""
        lines = await self._source.read()
        self.bytes_read = self._source.bytes_read
        return [self._read(line) for line in lines]

    def stop(self) -> None:
        """Hand out nothing more."""
        self._source.stop()

    async def close(self) -> None:
        """Stop, and let go of the input."""
        await self._source.close()

    async def look_up(self, first: int, lines: Sequence[Line]) -> None:
        """Ask the ledger's memory to be ready."""
        if self.memory is not None:
            await self.memory.look_up(first, lines)

    def recall(self, number: int, line: Line) -> Past:
        """The past of the next line: asked for once of each, in their order.

        Raises:
            LedgerRefused: the ledger knows another line at this place.
        """
        origin = self._origins.popleft()
        past = (None if self.memory is None else self.memory.recall(number, line)) or Past(number)
        return past if past.origin is not None else past._replace(origin=origin)

    def end(self, records: int) -> None:
        """The input has ended after *records*.

        Raises:
            LedgerRefused: the ledger knows of more.
        """
        if self.memory is not None:
            self.memory.end(records)

    def _read(self, line: Line) -> Line:
        try:
            reject = read_reject(line.raw)
        except ValueError:
            self._origins.append(None)
            message = "this is no line of a rejects file: outcome, error or record are missing"
            problem = line.problem or RecordError("missing_field", message, line=line.number)
            return line._replace(raw=line.raw[:RAW_LIMIT], problem=problem)
        self._origins.append(reject.origin)
        if reject.truncated:
            message = f"the rejects line has only the first {len(reject.raw):,} bytes of the record; submit its input"
            problem = RecordError("line_too_long", message, line=line.number)
            return line._replace(raw=reject.raw, hash=digest(reject.raw), size=len(reject.raw) + 1, problem=problem)
        made = make_line(reject.raw, line.number, line.offset, self._max_line_bytes)
        return made._replace(input=line.input)
