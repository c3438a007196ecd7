"""The operation's answer: found in a reply's body and turned into JSON.

Two ways lead to the same bytes. The server prints one shape; a regular expression compiled from the answer's sample
matches just that, and the JSON is put together from what it captured. Any other body goes through lxml, with entities,
DTD and network off, and is matched by namespace and name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from lxml import etree

from batcher.core.document import Document
from batcher.core.leaf import LeafType, leaf_type
from batcher.core.soap import DECLARATION, XSD, XSI, Soap
from batcher.core.template import Operation

_NIL = f"{{{XSI}}}nil"
_LAYOUTS = 256
"""Layouts of an answer that are remembered: more differ than any service prints, yet a hostile one fills no memory."""
_LEARNED = 32
"""Of them, those that get an expression of their own: to compile one takes some milliseconds."""
_LITERAL = 4096
"""Characters before and behind the values of an answer that gets one: there may be any white space."""


class Answer(NamedTuple):
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
        key: the fields whose values the answer's ``key`` gives; None for those that the answer never has.
    """

    def __init__(self, operation: Operation, soap: Soap, key: Sequence[str] = ()) -> None:
        response = _Sample.of(operation.response)
        self._response = response.tag
        self._result = response.children[0] if response.children else None
        paths = dict(_paths(self._result)) if self._result is not None else {}
        self._key = tuple(paths.get(name) for name in key)
        self._shape = _Shape(response, soap, key)

    def match(self, text: str) -> Answer | None:
        """The answer in a body of the exact shape that the server prints, else None."""
        return self._shape.match(text)

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


@dataclass(frozen=True, slots=True)
class _Sample:
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


class _Layout:
    """Which values an answer has, of which the rest follows.

    Attributes:
        pieces: the JSON around the values, and between each two of them the place of one. To fill and join a copy costs
            less than ``%``, which looks at every character of the JSON.
        key: for each field of the key the index of its value, or -1 and the value itself.
        groups: the values' groups in the expression of the whole shape.
        start, end: the text before the first value and behind the last one.
        match: finds what is between them, with a group for each value; None while that was not made.
    """

    def __init__(self, around: list[str], key: tuple[tuple[int, str | None], ...], groups: tuple[int, ...]) -> None:
        self.pieces = [""] * (2 * len(around) - 1)
        self.pieces[::2] = around
        self.key = key
        self.groups = groups
        self.start = self.end = ""
        self.match: Callable[[str, int, int], re.Match[str] | None] | None = None

    def learn(self, found: re.Match[str], values: Sequence[str]) -> None:
        """Learn the text of an answer that has been *found*, with the expression of each of its *values*."""
        text = found.string
        self.start, self.end = text[: found.start(self.groups[0])], text[found.end(self.groups[-1]) :]
        if len(self.start) + len(self.end) > _LITERAL:
            return
        expression = ""
        for group, following, value in zip(self.groups, (*self.groups[1:], None), values, strict=True):
            behind = "" if following is None else text[found.end(group) : found.start(following)]
            expression += f"({value}){re.escape(behind)}"
        self.match = re.compile(expression).fullmatch


class _Shape:
    """The one shape of answer that the server prints: an expression with a group a value, and the JSON between them.

    A string has two groups, its text and its being empty (``<X />``): without either it is null. Which groups are there
    is nearly always the same for all answers. So the JSON around the values is made once for each such *layout*, and
    each answer is first compared with the last one: an expression without choices takes half the time.
    """

    def __init__(self, response: _Sample, soap: Soap, key: Sequence[str]) -> None:
        self._pieces = [""]
        self._names: list[str] = []
        self._kinds: list[str] = []
        self._values: dict[int, str] = {}  # by their groups, the expressions of the values
        self._groups = 0
        tag = etree.QName(response.tag)
        name = re.escape(response.name)
        opening = re.escape(f'<{response.name} xmlns="{tag.namespace}"')
        if response.children:
            expression = f"{opening}>{self._element(response.children[0], outermost=True)}</{name}>"
        else:
            expression = f"{opening}(?: ?/>|></{name}>)"
            self._pieces = ["{}"]
        self._match = re.compile(f"{_envelope_opening(soap)}{expression}</soap:Body></soap:Envelope>\\s*").fullmatch
        self._key = key
        self._layouts: dict[tuple[bool, ...], _Layout] = {}
        self._learned = 0
        self._last: _Layout | None = None

    def match(self, text: str) -> Answer | None:
        last = self._last
        if last is not None and last.match and text.startswith(last.start) and text.endswith(last.end):
            found = last.match(text, len(last.start), len(text) - len(last.end))
            if found is not None:
                return self._answer(last, found.groups())
        found = self._match(text)
        if found is None:
            return None
        # Which values are there, and which are empty: the layout's name.
        given = tuple([value is not None for value in found.groups()])
        layout = self._layouts.get(given)
        if layout is None:
            layout = self._lay_out(found)
            if len(self._layouts) < _LAYOUTS:
                self._layouts[given] = layout
        elif layout.match is None and layout.groups and self._learned < _LEARNED:  # it was there before
            layout.learn(found, [self._values[group] for group in layout.groups])
            self._learned += 1
        self._last = layout
        return self._answer(layout, tuple([found[group] for group in layout.groups]))

    def _answer(self, layout: _Layout, values: tuple[Any, ...]) -> Answer:
        keyed = tuple([values[at] if at >= 0 else given for at, given in layout.key])
        pieces = layout.pieces.copy()
        pieces[1::2] = values
        # Not Answer(…), which costs four times as much: it goes through a __new__ written in Python.
        return tuple.__new__(Answer, ("".join(pieces).encode(), keyed))

    def _lay_out(self, found: re.Match[str]) -> _Layout:
        """The layout of an answer that the shape's expression has *found*."""
        around = [self._pieces[0]]
        groups: list[int] = []
        keys: dict[str, tuple[int, str | None]] = {}
        for group, name, kind, piece in zip(self._values, self._names, self._kinds, self._pieces[1:], strict=True):
            if found[group] is not None:
                quote = "" if kind == "bare" else '"'
                around[-1] += quote
                around.append(quote + piece)
                keys[name] = (len(groups), None)
                groups.append(group)
            else:
                empty = found[group + 1] is not None
                around[-1] += ('""' if empty else "null") + piece
                keys[name] = (-1, "" if empty else None)
        return _Layout(around, tuple(keys.get(name, (-1, None)) for name in self._key), tuple(groups))

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
        self._values[self._groups + 1] = leaf.answer
        self._groups += 2 if leaf.optional else 1
        if leaf.optional:
            return f"(?:<{name}>({leaf.answer})</{name}>|(<{name} ?/>)){'' if outermost else '?'}"
        return f"<{name}>({leaf.answer})</{name}>"


def _envelope_opening(soap: Soap) -> str:
    """Servers differ in the order of the declarations, and some print a line end behind the XML declaration."""
    declarations = (f' xmlns:soap="{soap.namespace}"', f' xmlns:xsi="{XSI}"', f' xmlns:xsd="{XSD}"')
    orders = "|".join(re.escape("".join(order)) for order in itertools.permutations(declarations))
    return f"{re.escape(DECLARATION)}\\s*<soap:Envelope(?:{orders})><soap:Body>"
