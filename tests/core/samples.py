"""Records, and answers as the real service prints them, for the tests of the core."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st

from batcher.core.soap import DECLARATION, XSD, XSI, Soap
from batcher.operations import load

NAMESPACE = "http://schema.veetro.com"
SET_RECORD = load("SetOutlookSyncRecord")
FIELDS = {leaf.name: leaf.type.name for leaf in SET_RECORD.leaves}
STRINGS = tuple(name for name, kind in FIELDS.items() if kind == "string")

quickly = settings(deadline=None, max_examples=60)

VALID: dict[str, Any] = {
    "ImportSyncRecordID": 0,
    "VeetroID": 17,
    "EntityID_Owner": 4,
    "VeetroType": "Contact",
    "VeetroIDStr": "17",
    "Source": "Outlook",
    "SourceID": "S-1",
    "SyncIdentifier": "desk",
    "SourceType": "Contact",
    "SourceName": "Jane Doe",
    "ApplyAction": 1,
    "ApplyValues": "",
    "RemoteTimeStamp": "2024-05-31T09:30:00Z",
    "Delete": False,
    "CurrentStatusId": 2,
    "Retried": 0,
    "LocalTimeStamp": "2024-05-31T09:30:00.1234567+02:00",
    "ErrorMsg": None,
    "DateLastModifiedRemoteUtc": "2024-02-29T23:59:59Z",
    "DateLastModifiedLocalUtc": "0001-01-01T00:00:00",
    "CurrentStatus": "InProgress",
}


def record(*without: str, **changes: Any) -> dict[str, Any]:
    """A valid record with *changes*, and without the fields named."""
    return {name: value for name, value in (VALID | changes).items() if name not in without}


def line(values: Mapping[str, Any]) -> bytes:
    return orjson.dumps(values)


# Every character that XML 1.0 allows, those that need care more often than chance would have it.
characters = st.one_of(
    st.sampled_from("&<>\"'\\\r\n\t ]é\u00a0\u0085\u2028\ufffd\U0001f600\U0010ff0b\x7f"),
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"),
)
texts = st.text(characters, max_size=12)
ints = st.one_of(st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]), st.integers(-(2**31), 2**31 - 1))
dates = st.builds(
    lambda moment, fraction, zone: moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + zone,
    st.datetimes().filter(lambda moment: 1 < moment.year < 9999),  # offsets lead out of the others
    st.sampled_from(["", ".5", ".1234567", ".123456789"]),
    st.sampled_from(["", "Z", "+00:00", "-14:00", "+05:30"]),
)
_of_kind = {"int": ints, "boolean": st.booleans(), "dateTime": dates, "string": texts}
values = {name: _of_kind.get(kind, st.sampled_from(["NA", "InProgress", "Completed"])) for name, kind in FIELDS.items()}
# Hypothesis draws the members in any order, which a record may have.
records: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {name: st.none() | values[name] if name in STRINGS else values[name] for name in FIELDS}
)


def as_text(value: Any) -> str:
    """How XML writes a JSON value."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def envelope(soap: Soap, inner: str, header: str = "") -> bytes:
    """*inner* in an envelope as the server prints it: with the prefix soap in both versions."""
    opening = f'<soap:Envelope xmlns:soap="{soap.namespace}" xmlns:xsi="{XSI}" xmlns:xsd="{XSD}">'
    return f"{DECLARATION}{opening}{header}<soap:Body>{inner}</soap:Body></soap:Envelope>".encode()


def answer(fields: Mapping[str, Any], soap: Soap) -> bytes:
    """The operation's answer as the server prints it, in *fields*' order: null is left out, "" is ``<X />``."""
    inner = "".join(
        f"<{name} />" if value == "" else f"<{name}>{escape(as_text(value), quote=False)}</{name}>"
        for name, value in fields.items()
        if value is not None
    )
    name = "SetOutlookSyncRecord"
    return envelope(soap, f'<{name}Response xmlns="{NAMESPACE}"><{name}Result>{inner}</{name}Result></{name}Response>')


def fault(soap: Soap, code: str, text: str, header: str = "") -> bytes:
    """A fault in the words of the envelope's version."""
    text = escape(text, quote=False)
    if soap.version == "1.1":
        inner = f"<faultcode>soap:{code}</faultcode><faultstring>{text}</faultstring><detail />"
    else:
        inner = (
            f"<soap:Code><soap:Value>soap:{code}</soap:Value></soap:Code>"
            f'<soap:Reason><soap:Text xml:lang="en">{text}</soap:Text></soap:Reason><soap:Detail />'
        )
    return envelope(soap, f"<soap:Fault>{inner}</soap:Fault>", header)
