"""The pull reader that ASP.NET's serializer walks: one node at a time, and broken XML only where the walk reaches it.

The order matters to a client: a bad number before broken XML is a Client fault, broken XML before it is a 400. So the
document is split into nodes by expat, and an error is itself a node that raises when it is read.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from xml.parsers import expat

__all__ = ["Kind", "Node", "Reader", "XmlBroken"]

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_LINE_END: Final = re.compile(r"\r\n|\r|\n")


class XmlBroken(Exception):
    """The document is no XML that the service takes; the text is the one of .NET's `XmlException`."""


class Kind(Enum):
    """What a node is. `EMPTY` is `<X/>`: an element that has no end node."""

    ELEMENT = auto()
    EMPTY = auto()
    END = auto()
    TEXT = auto()
    SPACE = auto()
    ASIDE = auto()  # a comment or a processing instruction
    BROKEN = auto()
    EOF = auto()


@dataclass(slots=True)
class Node:
    """One node: *name* is (namespace, local name), *offset* the byte where .NET says that the node stands."""

    kind: Kind
    depth: int
    offset: int
    name: tuple[str, str] = ("", "")
    value: str = ""
    attributes: dict[tuple[str, str], str] | None = None


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(" ")
    return namespace, local


class _Builder:
    """Collects the nodes of one document from expat's calls."""

    def __init__(self, document: bytes) -> None:
        self.nodes: list[Node] = []
        self._document = document
        self._depth = 0
        self._in_cdata = False
        self._parser = parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartCdataSectionHandler = self._cdata
        parser.EndCdataSectionHandler = self._cdata_end
        parser.CommentHandler = lambda _: self._add(Kind.ASIDE, 4)
        parser.ProcessingInstructionHandler = lambda _target, _value: self._add(Kind.ASIDE, 2)
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype

    def build(self) -> list[Node]:
        try:
            self._parser.Parse(self._document, True)
        except expat.ExpatError as error:
            self._broken(f"Data at the root level is invalid. Line {error.lineno}, position {error.offset + 1}.")
        except XmlBroken as error:
            self._broken(str(error))
        else:
            self.nodes.append(Node(Kind.EOF, 0, len(self._document)))
        return self.nodes

    def _broken(self, message: str) -> None:
        text = message if self._document.strip() else "Root element is missing."
        self.nodes.append(Node(Kind.BROKEN, 0, len(self._document), value=text))

    def _add(self, kind: Kind, into: int) -> Node:
        node = Node(kind, self._depth, self._parser.CurrentByteIndex + into)
        self.nodes.append(node)
        return node

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        node = self._add(Kind.ELEMENT, 1)
        node.name = _split(name)
        node.attributes = {_split(key): value for key, value in attributes.items()} if attributes else None
        self._depth += 1

    def _end(self, name: str) -> None:
        self._depth -= 1
        at = self._parser.CurrentByteIndex
        # For `<X/>` expat stands behind the tag, for `</X>` before it.
        if self.nodes[-1].kind is Kind.ELEMENT and self._document[at - 2 : at] == b"/>":
            self.nodes[-1].kind = Kind.EMPTY
        else:
            self._add(Kind.END, 2).name = _split(name)

    def _text(self, value: str) -> None:
        last = self.nodes[-1]
        if not self._in_cdata and last.kind is not Kind.TEXT and last.kind is not Kind.SPACE:
            last = self._add(Kind.SPACE, 0)
        last.value += value
        if last.kind is Kind.SPACE and value.strip("\t\n\r "):
            last.kind = Kind.TEXT

    def _cdata(self) -> None:
        self._in_cdata = True
        self._add(Kind.TEXT, len("<![CDATA["))

    def _cdata_end(self) -> None:
        self._in_cdata = False

    def _declaration(self, version: str, _encoding: str | None, _standalone: int) -> None:
        if version != "1.0":
            raise XmlBroken(f"Version number '{version}' is invalid. Line 1, position 16.")

    def _doctype(self, *_: object) -> None:
        raise XmlBroken("DTD is prohibited in this XML document.")


class Reader:
    """Walks the nodes of *text* with the moves of .NET's `XmlReader`; every move may raise `XmlBroken`."""

    def __init__(self, text: str) -> None:
        self._document = text.encode()
        self._nodes = _Builder(self._document).build()
        self._at = 0
        self._check()

    def here(self) -> Node:
        """The current node."""
        return self._nodes[self._at]

    def _check(self) -> None:
        if self.here().kind is Kind.BROKEN:
            raise XmlBroken(self.here().value)

    def read(self) -> None:
        """One node on."""
        if self.here().kind is not Kind.EOF:
            self._at += 1
            self._check()

    def to_content(self) -> Node:
        """The current node, or the next one that is no white space and no comment."""
        while self.here().kind in (Kind.SPACE, Kind.ASIDE):
            self.read()
        return self.here()

    def skip(self) -> None:
        """Past the current node and, where it is an element, all that it holds."""
        depth = self.here().depth
        if self.here().kind is Kind.ELEMENT:
            self.read()
            while self.here().depth > depth:
                self.read()
        self.read()

    def leaf(self) -> str:
        """The text of the current element, as `ReadElementString` takes it.

        Text and then anything else is an error of the document. But an element that comes *first* is read in place of
        the text, and the walk goes on inside: so an unescaped tag in a string swallows the fields after it.
        """
        if self.here().kind is Kind.EMPTY:
            self.read()
            return ""
        self.read()
        if self.here().kind is Kind.ELEMENT:
            self.read()
        value = ""
        while self.here().kind in (Kind.TEXT, Kind.SPACE):
            value += self.here().value
            self.read()
        if self.here().kind is not Kind.END:
            line, column = self.position()
            raise XmlBroken(
                "Unexpected node type. ReadElementString method can only be called on elements with simple or empty "
                f"content. Line {line}, position {column}."
            )
        self.read()
        return value

    def end_element(self) -> None:
        """Past the end tag that closes what was read."""
        self.to_content()
        self.read()

    def position(self) -> tuple[int, int]:
        """Line and column of the current node, from 1, in .NET's characters: one beyond U+FFFF counts twice."""
        before = self._document[: self.here().offset].decode("utf-8")
        lines = _LINE_END.split(before)
        return len(lines), len(lines[-1].encode("utf-16-le")) // 2 + 1

    def xsi_type(self) -> str | None:
        """The value of the current element's `xsi:type`, or None."""
        return (self.here().attributes or {}).get((_XSI, "type"))
