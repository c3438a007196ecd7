"""The operation's answer: found in a reply's body and turned into JSON.

Two ways lead to the same bytes. The server prints one shape; a regular expression compiled from the answer's sample
matches just that, and the JSON is put together from what it captured. Any other body goes through lxml, with entities,
DTD and network off, and is matched by namespace and name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from lxml import etree

from batcher.core.document import Document
from batcher.core.leaf import leaf_type
from batcher.core.soap import DECLARATION, XSD, XSI, Soap
from batcher.core.template import Operation

_NIL = f"{{{XSI}}}nil"


@dataclass(frozen=True, slots=True)
class Answer:
    """An operation's result.

    Attributes:
        fields: as JSON, an object for every operation whose result has fields.
        key: the texts of the key's fields, None for an absent one.
    """

    fields: bytes
    key: tuple[str | None, ...]


class Matcher:
    """Finds one operation's answer.

    Args:
        operation: whose.
        soap: the version that the requests use, and so the answers.
        key: the fields whose values the answer's ``key`` gives.
    """

    def __init__(self, operation: Operation, soap: Soap, key: Sequence[str] = ()) -> None:
        self._response = operation.response
        self._key = tuple(key)
        self._shape = _Shape(operation.response, soap, self._key)

    def match(self, text: str) -> Answer | None:
        """The answer in a body of the exact shape that the server prints, else None."""
        return self._shape.match(text)

    def find(self, document: Document) -> Answer | None:
        """The answer in an envelope of any shape; None where the response, or the result in it, is not there."""
        body = document.body
        response = None if body is None else body.find(str(self._response.tag))
        if response is None:
            return None
        if len(self._response) == 0:
            return Answer(b"{}", tuple(None for _ in self._key))
        sample = self._response[0]
        result = response.find(str(sample.tag))
        if result is None or _is_nil(result):
            return None
        space = etree.QName(sample).namespace or ""
        keyed = (next(result.iter(f"{{{space}}}{name}"), None) for name in self._key)
        return Answer(
            orjson.dumps(_to_json(document, result, sample)),
            tuple(None if found is None or _is_nil(found) else document.text(found) for found in keyed),
        )


def _is_nil(element: etree._Element) -> bool:
    return element.get(_NIL) in {"true", "1"}


def _to_json(document: Document, element: etree._Element, sample: etree._Element) -> Any:
    """*element* as the JSON that its *sample* asks for; elements that the sample does not know follow, as text."""
    if _is_nil(element):
        return None
    if len(sample) == 0:
        return leaf_type(sample.text or "").to_json(document.text(element))
    found: dict[str, etree._Element] = {}
    for child in element.iterchildren("*"):
        found.setdefault(str(child.tag), child)
    members: dict[str, Any] = {}
    for wanted in sample:
        given = found.pop(str(wanted.tag), None)
        members[etree.QName(wanted).localname] = None if given is None else _to_json(document, given, wanted)
    for tag, extra in found.items():
        members.setdefault(etree.QName(tag).localname, document.text(extra))
    return members


class _Shape:
    """The one shape of answer that the server prints: an expression with a group a value, and the JSON between them.

    A string has two groups, its text and its being empty (``<X />``): without either it is null.
    """

    def __init__(self, response: etree._Element, soap: Soap, key: tuple[str, ...]) -> None:
        self._pieces = [""]
        self._names: list[str] = []
        self._kinds: list[str] = []
        name, space = etree.QName(response).localname, etree.QName(response).namespace
        opening = f'<{name} xmlns="{space}"'
        if len(response):
            expression = f"{re.escape(opening)}>{self._element(response[0])}</{name}>"
        else:
            expression = f"{re.escape(opening)}(?: ?/>|></{name}>)"
            self._pieces = ["{}"]
        self._match = re.compile(f"{_envelope_opening(soap)}{expression}</soap:Body></soap:Envelope>\\s*").fullmatch
        self._format = "%s".join(piece.replace("%", "%%") for piece in self._pieces)
        self._key_at = tuple(self._names.index(name) for name in key)

    def match(self, text: str) -> Answer | None:
        found = self._match(text)
        if found is None:
            return None
        groups = iter(found.groups())
        texts: list[str | None] = []
        values: list[str] = []
        for kind, group in zip(self._kinds, groups, strict=False):
            given = group
            if kind == "optional" and next(groups) is not None:
                given = ""
            texts.append(given)
            values.append("null" if given is None else given if kind == "bare" else f'"{given}"')
        return Answer((self._format % tuple(values)).encode(), tuple(texts[index] for index in self._key_at))

    def _element(self, sample: etree._Element) -> str:
        """The expression for *sample*'s element; notes the JSON around its values on the way."""
        name = re.escape(etree.QName(sample).localname)
        if len(sample):
            self._pieces[-1] += "{"
            inner = ""
            for number, child in enumerate(sample):
                comma = "," if number else ""
                self._pieces[-1] += f'{comma}"{etree.QName(child).localname}":'
                inner += self._element(child)
            self._pieces[-1] += "}"
            return f"<{name}>{inner}</{name}>"
        leaf = leaf_type(sample.text or "")
        self._pieces.append("")
        self._names.append(etree.QName(sample).localname)
        self._kinds.append("optional" if leaf.optional else "quoted" if leaf.quoted else "bare")
        if leaf.optional:
            return f"(?:<{name}>({leaf.answer})</{name}>|(<{name} ?/>))?"
        return f"<{name}>({leaf.answer})</{name}>"


def _envelope_opening(soap: Soap) -> str:
    """Servers differ in the order of the declarations, and some print a line end behind the XML declaration."""
    declarations = (f' xmlns:soap="{soap.namespace}"', f' xmlns:xsi="{XSI}"', f' xmlns:xsd="{XSD}"')
    orders = "|".join(re.escape("".join(order)) for order in itertools.permutations(declarations))
    return f"{re.escape(DECLARATION)}\\s*<soap:Envelope(?:{orders})><soap:Body>"
