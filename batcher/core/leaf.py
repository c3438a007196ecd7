"""The types of leaves: how a JSON value becomes XML text, and how XML text becomes JSON.

A sample body names the type where the value goes, ``<VeetroID>int</VeetroID>``; ``A or B or C`` is an enumeration.
Another type is one more entry in ``_TYPES``.

The service does not check values against its schema, and turns what it does not understand into defaults without a
word; so all strictness is here. Its own reading, per type, is Microsoft's System.Xml.
"""

from __future__ import annotations

import json
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from batcher.core.quick import Usual
from batcher.errors import RecordError, TemplateError

_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
_QUOTE_AT_MOST = 60


class LeafType(NamedTuple):
    """One type of leaf.

    Attributes:
        name: as the sample body writes it.
        to_xml: a JSON value's XML text, escaped; raises ``RecordError`` (without line and field) where it has none.
        from_text: what ``--default`` gives as text, as the JSON value it stands for; raises ``ValueError``.
        answer: regular expression of the texts in an answer, as bytes of UTF-8, that ``to_json`` maps to themselves (in
            quotes, for quoted types); other texts take the slow path.
        to_json: the JSON value of an answer's text. Answers are reported, not judged: a text that is none of this
            type's is given as it is.
        quoted: its JSON form is a string.
        optional: an absent value is left out of the envelope, which the service takes for null; only for
            quoted types.
        usual: the values that are nearly all.
        plain: regular expression, without groups, of UTF-8 texts in JSON (within the quotes, for quoted types) that are
            their own texts in XML: of most usual values. What characters bytes above 127 make it leaves to others.
        steady: one answer after the other nearly always has the same value: it is neither number nor instant.
    """

    name: str
    to_xml: Callable[[Any], str]
    from_text: Callable[[str], Any]
    answer: str
    to_json: Callable[[str], Any]
    usual: Usual
    plain: bytes
    quoted: bool = True
    optional: bool = False
    steady: bool = True


@lru_cache
def leaf_type(text: str) -> LeafType:
    """The type that a sample body's placeholder *text* names.

    Raises:
        TemplateError: it names none that we know.
    """
    text = " ".join(text.split())
    if text in _TYPES:
        return _TYPES[text]
    members = text.split(" or ")
    if len(members) > 1 and all(re.fullmatch(r"\w+", member) for member in members):
        return _enumeration(text, tuple(members))
    known = ", ".join(sorted(_TYPES))
    raise TemplateError("operation", f"{text!r} is no type of a leaf", f"known are {known} and 'A or B or C'")


# Strings

# Beyond &, < and >: a CR would be read as LF unless it is written as a reference, and XML 1.0 does not allow the rest
# at all: the service answers 400 with an empty body to the whole call.
_find_special = re.compile(r"[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search
_find_illegal = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})


_AMPERSAND, _LESS, _GREATER, _BACKSLASH = b"&<>\\"
find_noncharacter = re.compile(b"\xef\xbf[\xbe\xbf]").search  # U+FFFE and U+FFFF in UTF-8


def is_plain(line: bytes) -> bool:
    """Whether all strings in a *line* of JSON are their own XML text, as far as single characters go.

    JSON carries the characters that XML forbids, and a CR, only behind a backslash: without one and without XML's own
    marks no string needs to be searched.
    """
    return (
        _BACKSLASH not in line
        and _AMPERSAND not in line
        and _LESS not in line
        and _GREATER not in line
        and (line.isascii() or find_noncharacter(line) is None)
    )


def _string_to_xml(value: Any) -> str:
    if type(value) is not str:
        raise _wrong_type("a string", value)
    blank = value.isspace()
    if not blank and _find_special(value) is None:
        return value
    if found := _find_illegal(value):
        character = ord(found.group())
        raise RecordError(
            "illegal_character",
            f"character {found.start() + 1} is U+{character:04X}, which XML 1.0 cannot carry; remove or replace it",
        )
    return _blank_to_xml(value) if blank else value.translate(_ESCAPES)


def _blank_to_xml(value: str) -> str:
    """White space alone, in the one form that arrives.

    The .NET reader that ASP.NET services use drops text that is nothing but white space, unless a character of it is a
    *decimal* reference (System.Xml, ``XmlTextReaderImpl.ParseText``: a rule kept for compatibility with version 1).
    """
    first, rest = value[0], value[1:]
    return f"&#{ord(first)};{rest.translate(_ESCAPES)}" if first in " \t\n\r" else value.translate(_ESCAPES)


# Numbers and truth


def _int_to_xml(value: Any) -> str:
    if type(value) is not int:
        raise _wrong_type("a whole number", value)
    if not _INT_MIN <= value <= _INT_MAX:
        raise RecordError("out_of_range", f"{_quote(value)} is not within {_INT_MIN} and {_INT_MAX} (32 bit)")
    return str(value)


def _int_from_text(text: str) -> int:
    if re.fullmatch(r"[-+]?[0-9]{1,20}", text) is None:
        raise ValueError(f"{_quote(text)} is no whole number")
    return int(text)


def _boolean_to_xml(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise _wrong_type("true or false", value)


def _boolean_from_text(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"{_quote(text)} is not true or false")
    return text == "true"


def _int_to_json(text: str) -> Any:
    # 18 digits always fit into the 64 bits that orjson writes.
    return int(text) if re.fullmatch(r"[ \t\r\n]*[-+]?[0-9]{1,18}[ \t\r\n]*", text) else text


def _boolean_to_json(text: str) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip(" \t\r\n"), text)


# Dates

# Nearly all dates are of this form, which knows the calendar but for the 29th of February, and needs no arithmetic: no
# offset leads from the years 1000 to 8999 out of those that the service knows. With the least value that .NET has.
_PLAIN_DATE = (
    r"(?:[1-8][0-9][0-9][0-9]-"
    r"(?:0[13578]-(?:0[1-9]|[12][0-9]|3[01])|1[02]-(?:0[1-9]|[12][0-9]|3[01])|0[469]-(?:0[1-9]|[12][0-9]|30)"
    r"|11-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:Z|\.[0-9]++Z?+|(?:\.[0-9]++)?+[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|)|0001-01-01T00:00:00Z?+)"
)
_is_plain_date = re.compile(_PLAIN_DATE).fullmatch
_read_date = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))?",
).fullmatch
_rounds_up = re.compile("9{7}[5-9]")
_DATE_FORM = "yyyy-MM-ddTHH:mm:ss, with a fraction and Z or an offset where wanted, such as 2024-05-31T09:30:00Z"
_LONGEST_OFFSET = 14 * 60


def _date_to_xml(value: Any) -> str:
    if type(value) is not str:
        raise _wrong_type("a date and time as a string", value)
    if _is_plain_date(value) is None:
        _check_date(value)
    return value


def _check_date(value: str) -> None:
    found = _read_date(value)
    if found is None:
        raise RecordError("bad_datetime", f"{_quote(value)} is no {_DATE_FORM}")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = found.groups()[6:]
    if not (year >= 1 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):  # noqa: PLR2004 - months
        raise RecordError("bad_datetime", f"{_quote(value)} is no day of the calendar")
    if not (hour < 24 and minute < 60 and second < 60):  # noqa: PLR2004 - a clock
        raise RecordError("bad_datetime", f"{_quote(value)} is no time of a day")
    if value.startswith("9999-12-31T23:59:59") and _rounds_up.match(fraction or ""):
        raise RecordError("bad_datetime", f"{_quote(value)} is rounded to 7 digits, and so past the year 9999")
    if sign:
        offset = int(offset_hours) * 60 + int(offset_minutes)
        if int(offset_minutes) >= 60 or offset > _LONGEST_OFFSET:  # noqa: PLR2004 - a clock
            raise RecordError("bad_datetime", f"{_quote(value)} has no offset within 14:00 of UTC")
        zone = timezone(timedelta(minutes=-offset if sign == "-" else offset))
        try:
            datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
        except OverflowError:
            # The service would clamp it in silence.
            raise RecordError("bad_datetime", f"{_quote(value)} is outside the years 1 to 9999 in UTC") from None


# Enumerations


def _enumeration(text: str, members: tuple[str, ...]) -> LeafType:
    texts = {member: member for member in members}

    def to_xml(value: Any) -> str:
        if type(value) is not str:
            raise _wrong_type(f"one of {', '.join(members)}", value)
        try:
            return texts[value]
        except KeyError:
            raise RecordError(
                "bad_enum", f"{_quote(value)} is none of {', '.join(members)}{_meant(value, members)}"
            ) from None

    usual = Usual(f"type({{v}}) is str and {{v}} in {members!r}")
    plain = b"(?:%b)" % "|".join(members).encode()
    return LeafType(text, to_xml, str, r"[A-Za-z0-9_]++", str, usual, plain)


def did_you_mean(word: str, known: tuple[str, ...]) -> str | None:
    """The one of *known* that *word* was probably meant to be, whatever its letter case; None if none is near."""
    import difflib  # noqa: PLC0415 - only what is wrong needs it

    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def _meant(value: str, members: tuple[str, ...]) -> str:
    near = did_you_mean(value, members)
    return f"; did you mean {near}?" if near else ""


# What errors say


def _wrong_type(wanted: str, value: Any) -> RecordError:
    return RecordError("wrong_type", f"must be {wanted}, not {_quote(value)}")


def _quote(value: Any) -> str:
    """*value* as it stands in the input's JSON, so that a line end or a mark that reverses writing is seen; capped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if not isinstance(value, str):
        text = str(value)
        return text if len(text) <= _QUOTE_AT_MOST else f"{text[:_QUOTE_AT_MOST]}…"
    cut = value[:_QUOTE_AT_MOST]
    quoted = json.dumps(cut, ensure_ascii=not cut.isprintable())
    return quoted if cut == value else f"{quoted}…"


_USUAL_INT = Usual(f"type({{v}}) is int and {_INT_MIN} <= {{v}} <= {_INT_MAX}")
_USUAL_BOOLEAN = Usual("type({v}) is bool", "('true' if {v} else 'false')")
_USUAL_DATE = Usual("type({v}) is str", pattern=_PLAIN_DATE)
_USUAL_STRING = Usual(
    "type({v}) is str and (plain or find_special({v}) is None) and not {v}.isspace()",
    names={"find_special": _find_special},
)

_PLAIN_INT = rb"(?:[1-9][0-9]{0,8}+|0|-[1-9][0-9]{0,8}+)"
_PLAIN_BOOLEAN = b"(?:true|false)"
# The set says what is allowed, since one with ^ takes longer. What begins with a blank may be nothing else; the other
# white space that XML's readers would drop stands behind a backslash in JSON.
_PLAIN_STRING = rb"(?! )[ !#-%'-;=?-\[\]-\xff]*+"

_TYPES = {
    leaf.name: leaf
    for leaf in (
        LeafType(
            "int",
            _int_to_xml,
            _int_from_text,
            "(?:[1-9][0-9]{0,9}+|0|-[1-9][0-9]{0,9}+)",
            _int_to_json,
            _USUAL_INT,
            _PLAIN_INT,
            quoted=False,
            steady=False,
        ),
        LeafType(
            "boolean",
            _boolean_to_xml,
            _boolean_from_text,
            r"(?:true|false)",
            _boolean_to_json,
            _USUAL_BOOLEAN,
            _PLAIN_BOOLEAN,
            quoted=False,
        ),
        LeafType("dateTime", _date_to_xml, str, r"[0-9T:.Z+-]++", str, _USUAL_DATE, _PLAIN_DATE.encode(), steady=False),
        LeafType(
            "string",
            _string_to_xml,
            str,
            # Without & < > " \ and control characters; possessive: nothing of a value is ever given back.
            r"[ !#-%'-;=?-\[\]-\xff]*+",
            str,
            _USUAL_STRING,
            _PLAIN_STRING,
            optional=True,
        ),
    )
}
