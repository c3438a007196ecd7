"""A usual line becomes an envelope without being parsed: the lines of one export are all laid out alike.

Their members stand in one order, with the same white space between them, or none. For such a *layout* one regular
expression matches whole lines, with a group for each value, and what the groups hold goes between the literal texts of
the envelope as it is. An expression accepts nothing that the exact path of ``core/record`` would refuse or write
differently, and a property test compares the two:

- it matches the whole line, in which each name may stand once: nothing is given twice, unknown or left over;
- what must be there is no optional part of it;
- a value matches where its text in JSON is its text in XML, which its type says (``LeafType.plain``).

Layouts are learned from lines that the other ways have accepted. Which values are null or left out is no part of them,
but whether any is: an expression without such choices takes less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson

Texts: TypeAlias = "tuple[bytes | None, ...]"
"""The texts of a line's values, in the order of the operation's leaves; None for what is null or left out."""

_LAYOUTS = 8
"""Layouts that are learned at most: to compile one takes some milliseconds, and a line may be compared with all."""
_SEEN = 64
"""Layouts seen once that are remembered at a time: a line in an order of its own is not worth an expression."""
_EVERY = 8
"""Of the lines that no layout matches one in so many is looked at: its layout costs half as much as to read it."""
_LONG = 4096
"""Bytes of a line that is matched at most: to match a byte takes longer than to parse it."""

_SPACE = rb"[ \t\r\n]{0,16}"
_find_start = re.compile(
    rb'(%b\{%b)"[^"\\]*+"(%b:%b)(?:"(?:[^"\\]++|\\.)*+"|[^" \t\r\n,}]++)(%b,%b)' % ((_SPACE,) * 6)
).match
_find_end = re.compile(rb"(?<![ \t\r\n])%b\}%b\Z" % (_SPACE, _SPACE)).search
_END = 34
"""Bytes that ``_find_end`` looks at, at most."""


class Field(NamedTuple):
    """Where a leaf's text goes in the envelope: behind the literal text *before* it.

    Attributes:
        before: literal text.
        name: of the field.
        plain: regular expression of its plain values in JSON, with their text in a group.
        absent: what stands in its place where it is null or left out; None where it must be there.
        opening, closing: tags that are left out with it.
    """

    before: bytes
    name: str
    plain: bytes
    absent: bytes | None
    opening: bytes
    closing: bytes


class _Marks(NamedTuple):
    """What a line has around its names and values."""

    start: bytes
    colon: bytes
    comma: bytes
    end: bytes


class _Seen(NamedTuple):
    """What tells a layout from others.

    Attributes:
        names: of all leaves, in the order of the members.
        marks: around them.
        gaps: some of its values are null or left out.
    """

    names: tuple[str, ...]
    marks: _Marks
    gaps: bool


class _Layout:
    """One layout.

    Args:
        names: of all leaves in the order of a line.
        marks: around its members.
        gaps: values may be null or left out, where that is allowed.
        fields: of the leaves.

    Attributes:
        match: finds a line's values.
        order: the groups of the leaves in their order, where it is not the line's.
    """

    def __init__(self, names: Sequence[str], marks: _Marks, *, gaps: bool, fields: Sequence[Field]) -> None:
        by_name = {field.name: field for field in fields}
        expression = b""
        for number, name in enumerate(names):
            field = by_name[name]
            before = re.escape((marks.comma if number else b"") + orjson.dumps(name) + marks.colon)
            if gaps and field.absent is not None:
                # Atomic: what has matched is not tried in another way.
                expression += b"(?>%b(?:%b|null)%b)" % (before, field.plain, b"|" if number else b"")
            else:
                expression += before + field.plain
        self.match = re.compile(re.escape(marks.start) + expression + re.escape(marks.end)).fullmatch
        order = tuple(names.index(field.name) + 1 for field in fields)
        self.order = None if order == tuple(sorted(order)) else order


class Layouts:
    """Makes envelopes of lines that are laid out in a way that it has learned; not for several threads.

    Args:
        fields: of all leaves, two or more.
        after: the literal text behind the last one.
    """

    def __init__(self, fields: Iterable[Field], after: bytes) -> None:
        self._fields = tuple(fields)
        self._pieces: list[Any] = [b""]  # the literal texts, and between each two of them the place of a value
        self._absent: list[tuple[int, Field]] = []
        for number, field in enumerate(self._fields):
            self._pieces[-1] += field.before + field.opening
            self._pieces += [b"", field.closing]
            if field.absent is not None:
                self._absent.append((2 * number + 1, field))
        self._pieces[-1] += after
        self._layouts: list[_Layout] = []
        self._learned: set[_Seen] = set()
        self._seen: set[_Seen] = set()
        self._others = 0
        # Of the layout of the last line that had one.
        self._match: Callable[[bytes], re.Match[bytes] | None] = re.compile(b"(?!)").fullmatch
        self._order: tuple[int, ...] | None = None

    def read(self, raw: bytes) -> tuple[bytes, Texts] | None:
        """The envelope and the values of a line; None where the line is not usual, or its layout not known."""
        if len(raw) > _LONG:
            return None
        found = self._match(raw)
        if found is None:
            found = self._try_others(raw)
            if found is None:
                return None
        if not (raw.isascii() or _is_text(raw)):
            return None
        order = self._order
        values: Texts = found.groups() if order is None else found.group(*order)
        pieces = self._pieces
        pieces[1::2] = values
        try:
            return b"".join(pieces), values
        except TypeError:  # one is None
            return self._without_absent(pieces.copy()), values

    def _without_absent(self, pieces: list[Any]) -> bytes:
        for at, field in self._absent:
            if pieces[at] is None:
                pieces[at - 1] = pieces[at - 1].removesuffix(field.opening)
                pieces[at] = field.absent
                pieces[at + 1] = pieces[at + 1].removeprefix(field.closing)
        return b"".join(pieces)

    def _try_others(self, raw: bytes) -> re.Match[bytes] | None:
        for number, layout in enumerate(self._layouts):
            found = None if layout.match == self._match else layout.match(raw)
            if found is not None:
                self._layouts.insert(0, self._layouts.pop(number))  # layouts in use are tried first
                self._match, self._order = layout.match, layout.order
                return found
        return None

    def learn(self, raw: bytes, values: Mapping[str, Any]) -> None:
        """Learn how a line is laid out that ``read`` made nothing of, the second time that its layout is seen.

        Args:
            raw: a line that is correct.
            values: its members, in their order.
        """
        self._others += 1
        if self._others % _EVERY or len(self._layouts) == _LAYOUTS or len(raw) > _LONG:
            return
        start, end = _find_start(raw), _find_end(raw[-_END:])
        if start is None or end is None:
            return  # with very much white space, or a name that is escaped
        gaps = len(values) < len(self._fields) or None in values.values()
        names = tuple(self._completed(tuple(values)) if gaps else values)
        seen = _Seen(names, _Marks(start[1], start[2], start[3], end[0]), gaps)
        if seen in self._learned:
            return
        if seen not in self._seen:
            if len(self._seen) == _SEEN:
                self._seen.clear()
            self._seen.add(seen)
            return
        self._learned.add(seen)
        self._layouts.append(_Layout(names, seen.marks, gaps=gaps, fields=self._fields))

    def _completed(self, names: Sequence[str]) -> list[str]:
        """*names*, and those that the line leaves out where other lines probably have them: as in the operation."""
        order = list(names)
        last = order[0]
        for field in self._fields:
            if field.name not in names:
                order.insert(order.index(last) + 1, field.name)
            last = field.name
        return order


def _is_text(raw: bytes) -> bool:
    """Whether *raw* is UTF-8, and without U+FFFE and U+FFFF, which XML does not allow."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return b"\xef\xbf\xbe" not in raw and b"\xef\xbf\xbf" not in raw
