"""A line becomes a record with its envelope, or an error that says why not.

Nearly every line is laid out as the one before, with usual values, and becomes an envelope without being parsed
(``core/layout``). Any other goes a way that only ever says yes as well: orjson reads it, the template renders it, and a
count of quotes proves that no field stood twice. What that does not like either is read again by the exact path, which
alone says no, in this order: not UTF-8, no JSON, no object, a field twice, and then what the template finds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson

from batcher.core.leaf import is_plain
from batcher.core.result import Key
from batcher.core.template import MAX_ENVELOPE, Template
from batcher.errors import RecordError, SettingsError

_BACKSLASH = ord("\\")
_QUOTE, _ESCAPED_QUOTE, _ESCAPED_BACKSLASH = b'"', b'\\"', b"\\\\"

_NO_KEYS = frozenset({"boolean", "dateTime"})
"""Types of leaves that make no order key: two values at most, or texts of which many mean the same instant."""

_ZEROS = {"int": b"0", "boolean": b"false"}
"""By the types of leaves, the text of a value that equals 0."""

Scalar: TypeAlias = "str | int | None"


class Record(NamedTuple):
    """What is to be sent for one line.

    Attributes:
        envelope: the request's body.
        key: the values of the order key's fields, None where a field has none: empty, null and 0 are no value.
        safe: sending it twice does the same as sending it once.
    """

    envelope: bytes
    key: tuple[Scalar, ...]
    safe: bool


def key_as_json(key: tuple[Scalar, ...]) -> Key:
    """How a result line shows an order key: the value alone for one field, an array for several, None for no value."""
    if len(key) == 1:
        return key[0]
    return list(key) if any(value is not None for value in key) else None


def differs(sent: tuple[Scalar, ...], answered: tuple[str | None, ...]) -> bool:
    """Whether an answer's key is another one than was sent: it may be the answer to another request.

    Outer white space and line ends aside, which the service changes. A key field that was sent without a value is not
    compared: the service may fill it.
    """
    return sent != answered and any(
        mine is not None and _plain(str(mine)) != _plain(theirs or "")
        for mine, theirs in zip(sent, answered, strict=True)
    )


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


class RecordReader:
    """Reads lines of one operation's records.

    Args:
        template: what renders them.
        order_by: the fields of the order key; none for no order.

    Raises:
        SettingsError: *order_by* names no field of the operation, or one whose type makes no key.
    """

    def __init__(self, template: Template, order_by: Sequence[str]) -> None:
        self._template = template
        self._order_by = tuple(order_by)
        for name in order_by:
            leaf = template.operation.leaf(name, "--order-by")
            if leaf.type.name in _NO_KEYS:
                raise SettingsError("--order-by", f"{name} is a {leaf.type.name}, which tells no records apart")
        self._creates_when_zero = template.operation.creates_when_zero
        self._layouts = template.layouts()
        leaves = template.operation.leaves
        names = [leaf.name for leaf in leaves]
        absent = self._key({}, template.defaults)
        self._keyed = [
            (names.index(name), leaves[names.index(name)].type.name == "int", given)
            for name, given in zip(self._order_by, absent, strict=True)
        ]
        zero = self._creates_when_zero
        self._zero_at = 0 if zero is None else names.index(zero)
        self._zero = None if zero is None else _ZEROS.get(leaves[self._zero_at].type.name)
        self._safe_without = self._safe({}, template.defaults)

    def read(self, raw: bytes) -> Record:
        """The record of a line, given without its line end.

        Raises:
            RecordError: it cannot become a correct envelope; ``line`` is left 0.
        """
        found = self._layouts.read(raw)
        if found is not None and len(found[0]) <= MAX_ENVELOPE:
            envelope, texts = found
            key: list[Scalar] = []
            for at, number, given in self._keyed:
                text = texts[at]
                if text is None:
                    key.append(given)
                else:
                    key.append((int(text) if number else text.decode()) or None)
            zero = texts[self._zero_at]
            # Record(…) costs four times as much: it goes through a __new__ written in Python.
            return tuple.__new__(
                Record, (envelope, tuple(key), self._safe_without if zero is None else zero != self._zero)
            )
        try:
            values = orjson.loads(raw)
            if type(values) is dict:
                envelope, strings = self._template.render(values, plain=is_plain(raw))
                # Each name and each string has two quotes, and what a name given twice has hidden has more. Where no
                # backslash is escaped, a quote behind one ends no string.
                escaped = 0
                if _BACKSLASH in raw and _ESCAPED_BACKSLASH not in raw:
                    escaped = raw.count(_ESCAPED_QUOTE)
                if raw.count(_QUOTE) == 2 * (len(values) + strings) + escaped:
                    self._layouts.learn(raw, values)
                    return self._record(values, envelope)
        except (orjson.JSONDecodeError, RecordError):
            pass
        values = parse_exactly(raw)
        envelope, _ = self._template.render(values)
        return self._record(values, envelope)

    def key_of(self, raw: bytes) -> tuple[Scalar, ...]:
        """The order key of a line that is no correct record, as far as it can be read."""
        try:
            values = orjson.loads(raw)
        except orjson.JSONDecodeError:
            values = None
        # Also a field that --default fills: it would have been sent with it.
        return self._key(values, self._template.defaults) if isinstance(values, dict) else (None,) * len(self._order_by)

    def _record(self, values: dict[str, Any], envelope: bytes) -> Record:
        defaults = self._template.defaults
        return tuple.__new__(Record, (envelope, self._key(values, defaults), self._safe(values, defaults)))

    def _safe(self, values: dict[str, Any], defaults: dict[str, Any]) -> bool:
        zero = self._creates_when_zero
        if zero is None:
            return True
        given = values.get(zero)
        return (defaults.get(zero) if given is None else given) != 0

    def _key(self, values: dict[str, Any], defaults: dict[str, Any]) -> tuple[Scalar, ...]:
        key: list[Scalar] = []
        for name in self._order_by:
            value = values.get(name)
            if value is None:
                value = defaults.get(name)
            key.append(value if value and isinstance(value, str | int) and value is not True else None)
        return tuple(key)


def parse_exactly(raw: bytes) -> dict[str, Any]:
    """The members of a line's object, with whole numbers of any size and no member given twice.

    Raises:
        RecordError: not UTF-8, no JSON, no object, or a member twice.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise RecordError("not_utf8", f"byte {error.start + 1} is not UTF-8; write the file as UTF-8") from error
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RecordError("malformed_json", f"no JSON: {error.msg} at character {error.pos + 1}") from error
    twice: list[str] = []  # of the outermost object, which the hook is given last

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        twice.clear()
        for name, value in pairs:
            if name in found:
                twice.append(name)
            found[name] = value
        return found

    try:
        values = json.loads(text, object_pairs_hook=members)
    except RecursionError as error:
        raise RecordError("malformed_json", "its values are nested too deep") from error
    if not isinstance(values, dict):
        raise RecordError(
            "not_an_object", "the line is JSON but no object; each line must be {…} with the fields of one record"
        )
    if twice:
        raise RecordError("duplicate_field", "stands twice in the record; keep one", twice[0][:200])
    return values
