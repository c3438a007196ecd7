"""A reply's body as XML, read with every defence on."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from batcher.core.soap import NAMESPACES

# Characters that XML forbids travel through the parser as private ones at the very end of Unicode: U+10FF00 and on.
_FORBIDDEN = frozenset({*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20)})
_PRIVATE = 0x10FF00
_PRIVATE_START = chr(_PRIVATE).encode()[:3]
_RESTORED = {chr(_PRIVATE + code): chr(code) for code in _FORBIDDEN}
_find_forbidden = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]|&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));"
)
_REPLACEMENT = "\ufffd".encode()
_find_carried = re.compile(f"[{chr(_PRIVATE)}-{chr(_PRIVATE + 0x1F)}]")
_CARRIED = 262_144
"""Characters and references that are looked at, at most: each costs a call."""
_MARKUP = 100_000
"""Tags and other markup of a document, at most: an answer has some fifty, and each costs as much as a long value."""


class Document:
    """An XML document that a server sent.

    Entities stay unexpanded, no DTD and nothing else is loaded, and size and depth are libxml2's safe ones. A document
    type declaration, which SOAP forbids, makes a body no document; so do tags, or forbidden characters, by the hundred
    thousand.

    A .NET service writes a character that XML forbids into a good answer as ``&#xB;``; such references, which no XML
    parser accepts, are read as the characters they stand for.
    """

    __slots__ = ("_carried", "root")

    def __init__(self, root: etree._Element, *, carried: bool) -> None:
        self.root = root
        self._carried = carried

    @classmethod
    def parse(cls, body: bytes) -> Document | None:
        """The document in *body*, or None where there is none."""
        body = body.lstrip(b" \t\r\n")  # some servers print a line end before the declaration
        if body.count(b"<") > _MARKUP:
            return None
        root = _parse(body)
        if root is not None:
            return cls(root, carried=False)
        in_use = _PRIVATE_START in body
        root = _parse(_carry_forbidden(body, in_use=in_use))
        return None if root is None else cls(root, carried=not in_use)

    @property
    def body(self) -> etree._Element | None:
        """The Body of a SOAP envelope of either version; it is not always the envelope's first child."""
        name: Any = etree.QName(self.root)  # its stubs say that it always has a namespace, and mypyc would insist
        if name.localname != "Envelope" or name.namespace not in NAMESPACES:
            return None
        return next(self.root.iterchildren(f"{{{name.namespace}}}Body"), None)

    def text(self, element: etree._Element) -> str:
        """All text in *element*."""
        text = "".join(str(part) for part in element.itertext()) if len(element) else str(element.text or "")
        return _find_carried.sub(_restore, text) if self._carried else text


def _parse(body: bytes) -> etree._Element | None:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return root if root.getroottree().docinfo.internalDTD is None else None


def _restore(found: re.Match[str]) -> str:
    return _RESTORED.get(found[0], found[0])


def _carry_forbidden(body: bytes, *, in_use: bool) -> bytes:
    """*body* with its forbidden characters, raw or as references, as private ones; U+FFFD where those are *in_use*."""

    def carry(found: re.Match[bytes]) -> bytes:
        hexadecimal, decimal = found.groups()
        if hexadecimal is None and decimal is None:
            code = ord(found[0].decode())
        else:
            code = int(decimal) if hexadecimal is None else int(hexadecimal, 16)
        if code in _FORBIDDEN:
            return _REPLACEMENT if in_use else chr(_PRIVATE + code).encode()
        allowed = code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF and code not in {0xFFFE, 0xFFFF}  # noqa: PLR2004
        return found[0] if allowed and not _PRIVATE <= code < _PRIVATE + 0x20 else _REPLACEMENT

    return _find_forbidden.sub(carry, body, count=_CARRIED)
