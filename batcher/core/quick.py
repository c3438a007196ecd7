"""The envelope of a usual record in one expression: a function written for one template, and compiled at the start.

A line that no layout matches (``core/layout``), since its fields stand in an order of its own or a text has a backslash
in it, was parsed. Nearly every such record has every field, with a value of the right type or null where null is
allowed. For these the function asks one condition of all fields and puts their texts between the literal pieces: twice
as fast as going from leaf to leaf, which would make such lines the dear ones. For any other record it says None, and
the way from leaf to leaf finds out what is unusual or wrong. It accepts nothing that the other way would write
differently, and a property test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Quick: TypeAlias = Callable[[Mapping[str, Any], bool], tuple[str, int] | None]
"""A record's values, and whether its line is plain → its envelope's text, and how many of them are strings in JSON; or
None. What a plain line is: ``leaf.is_plain``."""


class Usual(NamedTuple):
    """A leaf type's usual values, in Python's words, with ``{v}`` for the value.

    Attributes:
        condition: holds for values whose text needs no more than *text*; it may ask ``plain``.
        text: expression of what an f-string makes the text in the envelope of; the value itself unless it says
            otherwise, and always for optional types.
        names: what both use.
        pattern: regular expression that the value matches as well, never with a NUL in it; for types that are never
            optional. One expression looks at all such values of a record: each search costs more than its characters.
    """

    condition: str
    text: str = "{v}"
    names: Mapping[str, object] = {}
    pattern: str | None = None


class Place(NamedTuple):
    """Where a leaf's text goes: behind the literal text *before* it.

    Attributes:
        before: literal text.
        name: of the field.
        usual: of its type.
        quoted: its JSON form is a string.
        optional: it is left out, tags and all, where its value is absent.
        opening, closing: its tags, where they are not part of the literal texts.
    """

    before: str
    name: str
    usual: Usual
    quoted: bool
    optional: bool
    opening: str
    closing: str


def compile_quick(places: Sequence[Place], after: str) -> Quick:
    """The function for these *places* and the literal text *after* the last."""
    names: dict[str, object] = {}
    conditions, texts, envelope = [], [], ""
    patterns: dict[str, str] = {}
    for number, place in enumerate(places):
        v = f"v{number}"
        condition, text = place.usual.condition.format(v=v), place.usual.text.format(v=v)
        names |= place.usual.names
        if place.usual.pattern is not None:
            patterns[v] = place.usual.pattern
        envelope += _literal(place.before)
        whole = f"{_literal(place.opening)}{{{v}}}{_literal(place.closing)}"
        if place.optional:
            conditions.append(f"({v} is None or ({condition}))")
            texts.append(f"{v} = '' if {v} is None else f{whole!r}")
            envelope += f"{{{v}}}"
        else:
            conditions.append(condition)
            if text != v:
                texts.append(f"{v} = {text}")
            envelope += whole
    envelope += _literal(after)
    if patterns:
        names["match"] = re.compile(r"\0".join(patterns.values())).fullmatch
        together = "\0".join(f"{{{v}}}" for v in patterns)
        conditions.append(f"match(f{together!r}) is not None")
    nulls = " - ".join(f"(v{number} is None)" for number, place in enumerate(places) if place.optional) or "0"
    quoted = sum(place.quoted for place in places)
    lines = [
        "def quick(values, plain):",
        f"    if len(values) != {len(places)}:",
        "        return None",
        "    try:",
        *(f"        v{number} = values[{place.name!r}]" for number, place in enumerate(places)),
        "    except KeyError:",
        "        return None",
        f"    if not ({' and '.join(conditions)}):",
        "        return None",
        f"    strings = {quoted} - {nulls}",
        *(f"    {text}" for text in texts),
        f"    return f{envelope!r}, strings",
    ]
    exec("\n".join(lines), names)  # noqa: S102 - of our own operation files and types; names stand in it as literals
    quick: Quick = names["quick"]  # type: ignore[assignment] # what the lines define
    return quick


def _literal(text: str) -> str:
    """*text* within an f-string."""
    return text.replace("{", "{{").replace("}", "}}")
