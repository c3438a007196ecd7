"""The operation's answer: found in a reply's body and turned into JSON.

Two ways lead to the same bytes. The server prints one shape; a regular expression compiled from the answer's sample
matches just that, in the body's bytes, and the JSON is put together from what it captured. Any other body goes through
lxml, with entities, DTD and network off, and is matched by namespace and name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from lxml import etree

from batcher.core.document import Document
from batcher.core.leaf import LeafType, leaf_type
from batcher.core.mould import Answer, Layout, Mould
from batcher.core.soap import DECLARATION, XSD, XSI, Soap
from batcher.core.template import Operation

__all__ = ["Answer", "Matcher"]

_NIL = f"{{{XSI}}}nil"
_LAYOUTS = 256
"""Layouts of an answer that are remembered: more differ than any service prints, yet a hostile one fills no memory."""
_LEARNED = 64
"""Moulds that are made of them at most: to compile an expression takes some milliseconds."""
_STEADY = 64
"""Bytes of a text that is part of a mould, at most."""
_BLANK = r"[ \t\r\n]"
"""XML's white space."""


class Matcher:
    """Finds one operation's answer.

    Args:
        operation: whose.
        soap: the version that the requests use, and so the answers.
        key: the fields whose values the answer's ``key`` gives; None for those that the answer never has.
    """

    def __init__(self, operation: Operation, soap: Soap, key: Sequence[str] = ()) -> None:
        response = _Sample.of(operation.response)
        self._response = response.tag
        self._result = response.children[0] if response.children else None
        paths = dict(_paths(self._result)) if self._result is not None else {}
        self._key = tuple(paths.get(name) for name in key)
        self._shape = _Shape(response, soap, key)

    def match(self, body: bytes) -> Answer | None:
        """The answer in a body of the exact shape that the server prints, else None."""
        return self._shape.match(body)

    def find(self, document: Document) -> Answer | None:
        """The answer in an envelope of any shape; None where the response, or the result in it, is not there."""
        body = document.body
        response = None if body is None else body.find(self._response)
        if response is None:
            return None
        if self._result is None:
            return Answer(b"{}", tuple(None for _ in self._key))
        result = response.find(self._result.tag)
        if result is None or _is_nil(result):
            return None
        keyed = (None if path is None else result.find(path) for path in self._key)
        return Answer(
            orjson.dumps(_to_json(document, result, self._result)),
            tuple(None if found is None or _is_nil(found) else document.text(found) for found in keyed),
        )


class _Sample(NamedTuple):
    """An element of the answer's sample: its children, or its type where it is a leaf. *tag* has the namespace."""

    tag: str
    name: str
    children: tuple[_Sample, ...]
    type: LeafType | None

    @classmethod
    def of(cls, element: etree._Element) -> _Sample:
        children = tuple(cls.of(child) for child in element)
        text = (element.text or "").strip()
        # A response without a result is empty: neither a leaf nor a parent.
        return cls(str(element.tag), etree.QName(element).localname, children, leaf_type(text) if text else None)


def _paths(result: _Sample) -> Iterator[tuple[str, str]]:
    """Each leaf's name in *result*, and the path to it from there."""
    for child in result.children:
        if child.type is not None:
            yield child.name, child.tag
        yield from ((name, f"{child.tag}/{path}") for name, path in _paths(child))


def _is_nil(element: etree._Element) -> bool:
    return element.get(_NIL) in {"true", "1"}


def _to_json(document: Document, element: etree._Element, sample: _Sample) -> Any:
    """*element* as the JSON that its *sample* asks for; elements that the sample does not know follow, as text."""
    if _is_nil(element):
        return None
    if sample.type is not None:
        return sample.type.to_json(document.text(element))
    found: dict[str, etree._Element] = {}
    for child in element.iterchildren("*"):
        found.setdefault(str(child.tag), child)
    members: dict[str, Any] = {}
    for wanted in sample.children:
        given = found.pop(wanted.tag, None)
        members[wanted.name] = None if given is None else _to_json(document, given, wanted)
    for tag, extra in found.items():
        members.setdefault(etree.QName(tag).localname, document.text(extra))
    return members


class _Shape:
    """The one shape of answer that the server prints: an expression with a group a value, and the JSON between them.

    A string has two groups, its text and its being empty (``<X />``): without either it is null. Which groups are there
    is nearly always the same for all answers. So the JSON around the values is made once for each such *layout*, and
    each answer is first poured into the mould of the last one.

    What names a kind or a place, as ``SourceType`` does, is hardly ever another from answer to answer, and such a
    *steady* text is part of the mould, until one differs. Numbers, dates and the key are read anew always.
    """

    def __init__(self, response: _Sample, soap: Soap, key: Sequence[str]) -> None:
        self._pieces = [""]
        self._names: list[str] = []
        self._kinds: list[str] = []
        self._values: dict[int, LeafType] = {}  # by their groups, the types of the values
        self._groups = 0
        tag = etree.QName(response.tag)
        name = re.escape(response.name)
        opening = re.escape(f'<{response.name} xmlns="{tag.namespace}"')
        if response.children:
            expression = f"{opening}>{self._element(response.children[0], outermost=True)}</{name}>"
        else:
            expression = f"{opening}(?: ?/>|></{name}>)"
            self._pieces = ["{}"]
        whole = f"{_envelope_opening(soap)}{expression}</soap:Body></soap:Envelope>{_BLANK}*"
        self._expression = whole.encode()
        # Compiled at the first answer, so that the first request does not wait for it.
        self._match: Callable[[bytes], re.Match[bytes] | None] | None = None
        self._key = key
        self._layouts: dict[tuple[bool, ...], Layout] = {}
        self._learned = 0
        self._last: Mould | None = None

    def match(self, body: bytes) -> Answer | None:
        last = self._last
        if last is not None and (answer := last.pour(body)) is not None:
            return answer
        if self._match is None:
            self._match = re.compile(self._expression).fullmatch
        found = self._match(body)
        if found is None:
            return None
        # Which values are there, and which are empty: the layout's name.
        given = tuple([value is not None for value in found.groups()])
        layout = self._layouts.get(given)
        if layout is None:
            layout = self._lay_out(found)
            if len(self._layouts) < _LAYOUTS:
                self._layouts[given] = layout
        else:
            self._learn(layout, found)  # it was there before
        self._last = layout.mould
        return layout.form.fill([found[group] for group in layout.groups])

    def _learn(self, layout: Layout, found: re.Match[bytes]) -> None:
        """Make the *layout* a mould, or another one where a steady value has changed, as long as that pays."""
        changed = layout.unsettle([found[group] for group in layout.groups])
        if layout.groups and self._learned < _LEARNED and (changed or layout.mould is None):
            self._learned += 1
            expressions = [self._values[group].answer.encode() for group in layout.groups]
            # In the second half each layout's next mould is its last, or those in use might be left with none.
            layout.learn(found, expressions, steady=self._learned <= _LEARNED // 2)

    def _lay_out(self, found: re.Match[bytes]) -> Layout:
        """The layout of an answer that the shape's expression has *found*."""
        around = [self._pieces[0]]
        groups: list[int] = []
        keys: dict[str, tuple[int, str | None]] = {}
        steady: dict[int, bytes] = {}
        for group, name, kind, piece in zip(self._values, self._names, self._kinds, self._pieces[1:], strict=True):
            if found[group] is not None:
                quote = "" if kind == "bare" else '"'
                around[-1] += quote
                around.append(quote + piece)
                if self._values[group].steady and name not in self._key and len(found[group]) <= _STEADY:
                    steady[len(groups)] = found[group]
                keys[name] = (len(groups), None)
                groups.append(group)
            else:
                empty = found[group + 1] is not None
                around[-1] += ('""' if empty else "null") + piece
                keys[name] = (-1, "" if empty else None)
        key = tuple(keys.get(name, (-1, None)) for name in self._key)
        return Layout([piece.encode() for piece in around], key, tuple(groups), steady)

    def _element(self, sample: _Sample, *, outermost: bool = False) -> str:
        """The expression for *sample*'s element; notes the JSON around its values on the way.

        The *outermost* is the result itself: without it there is no answer, so not even a string may be left out.
        """
        name, leaf = re.escape(sample.name), sample.type
        if leaf is None:
            self._pieces[-1] += "{"
            inner = ""
            for number, child in enumerate(sample.children):
                comma = "," if number else ""
                self._pieces[-1] += f'{comma}"{child.name}":'
                inner += self._element(child)
            self._pieces[-1] += "}"
            return f"<{name}>{inner}</{name}>"
        self._pieces.append("")
        self._names.append(sample.name)
        self._kinds.append("optional" if leaf.optional else "quoted" if leaf.quoted else "bare")
        self._values[self._groups + 1] = leaf
        self._groups += 2 if leaf.optional else 1
        if leaf.optional:
            return f"(?:<{name}>({leaf.answer})</{name}>|(<{name} ?/>)){'' if outermost else '?'}"
        return f"<{name}>({leaf.answer})</{name}>"


def _envelope_opening(soap: Soap) -> str:
    """Servers differ in the order of the declarations, and some print a line end behind the XML declaration."""
    declarations = (f' xmlns:soap="{soap.namespace}"', f' xmlns:xsi="{XSI}"', f' xmlns:xsd="{XSD}"')
    orders = "|".join(re.escape("".join(order)) for order in itertools.permutations(declarations))
    return f"{re.escape(DECLARATION)}{_BLANK}*<soap:Envelope(?:{orders})><soap:Body>"
