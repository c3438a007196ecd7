"""The 21 fields of an OutlookSyncRecord, and what the server makes of the text of each.

Written apart from the code that renders requests, on purpose: a stand-in that shared it would share its mistakes.
The rules are those of .NET's `XmlConvert` as ASP.NET's serializer calls it, compared with an ASMX service under Mono.
A value that cannot be read raises `ValueError` with the text that .NET gives.
"""

import re
from collections.abc import Callable
from typing import Final

from batcher.sandbox.datetimes import YEAR_ONE, read_datetime

__all__ = ["DEFAULTS", "FIELDS", "INDEX", "Record", "as_dict", "read_value"]

Record = tuple[str | None, ...]
"""One value a field in the order of `FIELDS`, as the server prints it; None is a null string."""

FIELDS: Final[dict[str, str]] = {
    "ImportSyncRecordID": "int",
    "VeetroID": "int",
    "EntityID_Owner": "int",
    "VeetroType": "string",
    "VeetroIDStr": "string",
    "Source": "string",
    "SourceID": "string",
    "SyncIdentifier": "string",
    "SourceType": "string",
    "SourceName": "string",
    "ApplyAction": "int",
    "ApplyValues": "string",
    "RemoteTimeStamp": "dateTime",
    "Delete": "boolean",
    "CurrentStatusId": "int",
    "Retried": "int",
    "LocalTimeStamp": "dateTime",
    "ErrorMsg": "string",
    "DateLastModifiedRemoteUtc": "dateTime",
    "DateLastModifiedLocalUtc": "dateTime",
    "CurrentStatus": "enum",
}
INDEX: Final[dict[str, int]] = {name: index for index, name in enumerate(FIELDS)}
STATUSES: Final = ("NA", "InProgress", "Completed")

_DEFAULT_OF: Final[dict[str, str | None]] = {
    "int": "0",
    "string": None,
    "dateTime": YEAR_ONE,
    "boolean": "false",
    "enum": STATUSES[0],
}
DEFAULTS: Final[Record] = tuple(_DEFAULT_OF[kind] for kind in FIELDS.values())

_FITTING_DIGITS: Final = 9
_INT: Final = re.compile(r"[\t\n\r ]*[+-]?[0-9]+[\t\n\r ]*")
_BOOLEANS: Final = {"true": "true", "1": "true", "false": "false", "0": "false"}


def _read_int(text: str) -> str:
    if len(text) <= _FITTING_DIGITS and text.isascii() and text.isdigit():
        return text.lstrip("0") or "0"
    if _INT.fullmatch(text) is None:
        raise ValueError("Input string was not in a correct format.")
    # Before int(): it refuses thousands of digits with a text of its own.
    digits = text.strip().lstrip("+-").lstrip("0")
    number = int(text) if len(digits) <= len("2147483648") else 2**31
    if not -(2**31) <= number < 2**31:
        raise ValueError("Value was either too large or too small for an Int32.")
    return str(number)


def _read_boolean(text: str) -> str:
    trimmed = text.strip("\t\n\r ")
    if trimmed not in _BOOLEANS:
        raise ValueError(f"The string '{trimmed}' is not a valid Boolean value.")
    return _BOOLEANS[trimmed]


def _read_enum(text: str) -> str:
    if text not in STATUSES:
        raise ValueError(f"Instance validation error: '{text}' is not a valid value for SyncStatus.")
    return text


_READ: Final[dict[str, Callable[[str], str]]] = {
    "int": _read_int,
    "string": str,
    "dateTime": read_datetime,
    "boolean": _read_boolean,
    "enum": _read_enum,
}
_READ_BY_INDEX: Final = tuple(_READ[kind] for kind in FIELDS.values())


def read_value(index: int, text: str) -> str:
    """The field's value as the server prints it, from its element's *text*; `ValueError` where it cannot be read."""
    return _READ_BY_INDEX[index](text)


def as_dict(record: Record) -> dict[str, str | int | bool | None]:
    """The record by field name: numbers and booleans as such, dates and enums as text, a null string as None."""
    typed: dict[str, str | int | bool | None] = {}
    for (name, kind), value in zip(FIELDS.items(), record, strict=True):
        if value is not None and kind == "int":
            typed[name] = int(value)
        elif kind == "boolean":
            typed[name] = value == "true"
        else:
            typed[name] = value
    return typed
