"""Answers of the operation in shapes of any kind, and what finds them."""

from __future__ import annotations

from typing import Any

import orjson

from batcher.core.answer import Answer, Matcher
from batcher.core.document import Document
from batcher.core.soap import DECLARATION, SOAP_11, XSD, XSI, Soap
from tests.core.samples import FIELDS, NAMESPACE, SET_RECORD

KEY = ("SourceID", "VeetroID")
MATCHER = Matcher(SET_RECORD, SOAP_11, KEY)


def result(inner: str) -> str:
    name = "SetOutlookSyncRecord"
    return f'<{name}Response xmlns="{NAMESPACE}"><{name}Result>{inner}</{name}Result></{name}Response>'


NULLS = dict.fromkeys(FIELDS)
TWO = {**NULLS, "VeetroID": 5, "Source": "x"}
INNER = "<VeetroID>5</VeetroID><Source>x</Source>"


def enveloped(inner: str, soap: Soap = SOAP_11, *, prefix: str = "soap", start: str = DECLARATION) -> bytes:
    return (
        f'{start}<{prefix}:Envelope xmlns:{prefix}="{soap.namespace}" xmlns:xsi="{XSI}" xmlns:xsd="{XSD}">'
        f"<{prefix}:Body>{inner}</{prefix}:Body></{prefix}:Envelope>"
    ).encode()


def by_tree(body: bytes, matcher: Matcher = MATCHER) -> Answer | None:
    document = Document.parse(body)
    return None if document is None else matcher.find(document)


def fields_of(body: bytes, matcher: Matcher = MATCHER) -> Any:
    """The answer's fields, of whichever way finds them."""
    found = matcher.match(body) or by_tree(body, matcher)
    return None if found is None else orjson.loads(found.fields)
