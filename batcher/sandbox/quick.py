"""The usual request, read without a parser: benchmarks should measure the client, not its stand-in.

Takes only what `envelope.read_record` would read to the same record, and leaves all else to it by answering None: an
envelope with nothing but namespace declarations, no white space between elements, no comments, no CDATA, no field twice
or unknown, no value that cannot be read.
"""

import re
from functools import lru_cache
from typing import Final

from batcher.sandbox.answers import SOAP_11, SOAP_12, Dialect
from batcher.sandbox.fields import DEFAULTS, FIELDS, INDEX, Record, read_value

__all__ = ["quick_record"]

_HEAD: Final = re.compile(
    r'(?:<\?xml version="1\.0" encoding="utf-8"\?>)?<(?P<prefix>\w+):Envelope(?P<declared>(?: xmlns:\w+="[^"<&]+")+)>'
    r'<(?P=prefix):Body><SetOutlookSyncRecord xmlns="http://schema\.veetro\.com">',
    re.ASCII,
)
_DECLARED: Final = re.compile(r' xmlns:(\w+)="([^"]+)"', re.ASCII)
# With what `str.isprintable` lets pass: tab, LF and the blanks beyond U+0020 are text, CR and what XML forbids are not.
_ODD: Final = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE: Final = re.compile("&(?:(amp|lt|gt|quot|apos)|#(xD|xA|x9|13|10|9));|&")
_REFERRED: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "xD": "\r", "xA": "\n", "x9": "\t"}
_REFERRED.update({"13": "\r", "10": "\n", "9": "\t"})

_OPENED: Final = INDEX
_CLOSED: Final = tuple(f"/{name}>" for name in FIELDS)
_EMPTY: Final = {form: index for name, index in INDEX.items() for form in (f"{name}/>", f"{name} />")}
_STRINGS: Final = frozenset(index for index, kind in enumerate(FIELDS.values()) if kind == "string")


def quick_record(text: str) -> tuple[Dialect, Record] | None:
    """The SOAP version and the record of a usual envelope, or None for every other."""
    head, found, rest = text.partition("<Record>")
    shape = _shape(head) if found else None
    if shape is None:
        return None
    dialect, tail = shape
    middle, _, end = rest.partition("</Record>")
    if end != tail or (not middle.isprintable() and _ODD.search(middle)) or "]]>" in middle:
        return None
    values = _values(middle)
    return None if values is None else (dialect, tuple(values))


@lru_cache(maxsize=64)
def _shape(head: str) -> tuple[Dialect, str] | None:
    """The version that the envelope's start tells, and how the envelope must end; None where it is not a usual one."""
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    declared = _DECLARED.findall(match["declared"])
    namespaces: dict[str, str] = dict(declared)
    if len(namespaces) != len(declared) or any(prefix.startswith(("xml", "XML")) for prefix in namespaces):
        return None
    prefix = match["prefix"]
    for dialect in (SOAP_11, SOAP_12):
        if namespaces.get(prefix) == dialect.namespace:
            return dialect, f"</SetOutlookSyncRecord></{prefix}:Body></{prefix}:Envelope>"
    return None


def _values(middle: str) -> list[str | None] | None:
    values = list(DEFAULTS)
    seen = set()
    pieces = iter(middle.split("<"))
    if next(pieces):
        return None
    for piece in pieces:
        name, _, value = piece.partition(">")
        index = _OPENED.get(name)
        if index is None:
            index = _EMPTY.get(piece)
            value = ""
        elif next(pieces, None) != _CLOSED[index]:
            return None
        if index is None or index in seen:
            return None
        seen.add(index)
        if "&" in value:
            try:
                value = _REFERENCE.sub(_referred, value)
            except KeyError:
                return None
        if index not in _STRINGS:
            try:
                value = read_value(index, value)
            except ValueError:
                return None
        values[index] = value
    return values


def _referred(match: re.Match[str]) -> str:
    """What a reference stands for; `KeyError` for all but the usual ones."""
    return _REFERRED[match[1] or match[2]]
