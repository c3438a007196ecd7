"""An answer's text and its JSON, both with places for the same values.

An answer is poured into the *mould* of one like it: an expression takes what stands where the values are expected, and
skips everything else. That this is the answer is proven by making its text of the values, and comparing. Literal text
costs nearly nothing so, while an expression looks at it character by character.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

from batcher.core.leaf import find_noncharacter

_LITERAL = 8192
"""Bytes around the values of an answer that gets a mould: there may be any white space before and behind."""


class Answer(NamedTuple):
    """An operation's result.

    Attributes:
        fields: as JSON, an object for every operation whose result has fields.
        key: the texts of the key's fields, None for an absent one.
    """

    fields: bytes
    key: tuple[str | None, ...]


class Form:
    """The JSON of answers.

    Args:
        around: its pieces around the values.
        key: for each field of the key the index of its value, or -1 and the value itself.
    """

    def __init__(self, around: Sequence[bytes], key: Sequence[tuple[int, str | None]]) -> None:
        # To fill and join a list costs less than ``%``, which looks at every character.
        self._pieces = _places(around)
        self._key = tuple(key)

    def fill(self, values: Sequence[bytes]) -> Answer | None:
        """The answer that has these *values*; None where they are no UTF-8, or hold a character that XML forbids."""
        self._pieces[1::2] = values
        fields = b"".join(self._pieces)
        if not fields.isascii() and not _is_text(fields):
            return None
        key: tuple[str | None, ...] = ()
        for at, given in self._key:  # of one field as a rule
            key += (values[at].decode() if at >= 0 else given,)
        # Not Answer(…), which costs four times as much: it goes through a __new__ written in Python.
        return tuple.__new__(Answer, (fields, key))


class Mould:
    """Answers that are the same but for some values.

    Args:
        text: the pieces of their text around the values.
        expressions: of the values.
        form: of their JSON.
    """

    def __init__(self, text: Sequence[bytes], expressions: Sequence[bytes], form: Form) -> None:
        self._text = _places(text)
        self._fill = form.fill
        pattern = _places([b".{%d}+" % len(piece) for piece in text])
        pattern[1::2] = [b"(%b)" % expression for expression in expressions]
        self._match = re.compile(b"".join(pattern), re.DOTALL).fullmatch

    def pour(self, body: bytes) -> Answer | None:
        """The answer in *body*, where that is one of these."""
        found = self._match(body)
        if found is None:
            return None
        values = found.groups()
        self._text[1::2] = values
        return self._fill(values) if b"".join(self._text) == body else None


class Layout:
    """Which values an answer has, of which the rest follows.

    Args:
        around: the JSON around the values.
        key: see ``Form``.
        steady: by index, values that are part of the mould as long as they stay the same.

    Attributes:
        groups: the values' groups in the expression of the whole shape.
        form: of the JSON.
        mould: for answers with the steady values; None while it was not made.
    """

    def __init__(
        self,
        around: Sequence[bytes],
        key: Sequence[tuple[int, str | None]],
        groups: tuple[int, ...],
        steady: dict[int, bytes],
    ) -> None:
        self._around = around
        self._key = key
        self._steady = steady
        self.groups = groups
        self.form = Form(around, key)
        self.mould: Mould | None = None

    def unsettle(self, values: Sequence[bytes]) -> bool:
        """Take what differs in *values* for steady no longer; whether anything does."""
        changed = [at for at, value in self._steady.items() if values[at] != value]
        for at in changed:
            del self._steady[at]
        return bool(changed)

    def learn(self, found: re.Match[bytes], expressions: Sequence[bytes], *, steady: bool) -> None:
        """Make a mould of an answer that was *found*, with the *expressions* of its values, *steady* ones or not."""
        if not steady:
            self._steady.clear()
        body = found.string
        text, json = [body[: found.start(self.groups[0])]], [self._around[0]]
        loose: list[int] = []
        ends = [*(found.start(group) for group in self.groups[1:]), len(body)]
        for at, (group, end, piece) in enumerate(zip(self.groups, ends, self._around[1:], strict=True)):
            if at in self._steady:
                text[-1] += body[found.start(group) : end]
                json[-1] += found[group] + piece
            else:
                text.append(body[found.end(group) : end])
                json.append(piece)
                loose.append(at)
        if sum(map(len, text)) <= _LITERAL:
            key = [(loose.index(at) if at >= 0 else -1, given) for at, given in self._key]
            self.mould = Mould(text, [expressions[at] for at in loose], Form(json, key))


def _places(around: Sequence[bytes]) -> list[bytes]:
    """The pieces *around* some values, and between each two of them the place of one."""
    return list(itertools.chain.from_iterable(zip(around, itertools.repeat(b""))))[:-1]


def _is_text(fields: bytes) -> bool:
    try:
        fields.decode()
    except UnicodeDecodeError:
        return False
    return find_noncharacter(fields) is None
