"""An operation's sample bodies, compiled once: to literal segments with one conversion per leaf on the way out.

The sample is the vendor's own notation: the body as it goes over the wire, with the type's name where the value goes.
lxml parses it once, at start; no tree is built per record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from lxml import etree

from batcher.core.layout import Field, Layouts
from batcher.core.leaf import LeafType, did_you_mean, leaf_type
from batcher.core.quick import Place, Quick, compile_quick
from batcher.core.soap import Soap
from batcher.errors import RecordError, SettingsError, TemplateError

MAX_ENVELOPE = 4096 * 1024
"""Bytes that ASP.NET takes by default (``maxRequestLength`` 4096 KB); more get a fault or IIS's 404 page."""


class Leaf(NamedTuple):
    """One value of a body: its element's local name, which is the record's field, and its type."""

    name: str
    type: LeafType


class Operation(NamedTuple):
    """An operation's file, read: the bodies and what is known of the operation.

    Attributes:
        name: local name of the request's element.
        action: of the ``SOAPAction`` header.
        request: the request's element, from the sample.
        response: the response's element, from the sample.
        leaves: the request's leaves in their order.
        creates_when_zero: the field whose 0 makes the service create something, so that sending again may double it;
            None where any request is safe to send again.
        order_by: the field whose records are kept in order unless told otherwise.
    """

    name: str
    action: str
    request: etree._Element
    response: etree._Element
    leaves: tuple[Leaf, ...]
    creates_when_zero: str | None = None
    order_by: str | None = None

    @classmethod
    def parse(cls, source: bytes) -> Operation:
        """Read an operation's file.

        Raises:
            TemplateError: it is not well-formed or not of the form of such a file.
        """
        try:
            root = etree.fromstring(
                source, etree.XMLParser(remove_comments=True, remove_pis=True, resolve_entities=False, no_network=True)
            )
        except etree.XMLSyntaxError as error:
            raise TemplateError("operation", f"the file is not well-formed: {error}") from error
        request, response = _only_child(root, "request"), _only_child(root, "response")
        leaves: list[Leaf] = []
        _collect(request, leaves)
        if len(response) > 1:
            raise TemplateError("operation", "the response must have one element, the result, or none")
        for result in response:
            _collect(result, [])  # knows its types
        names = [leaf.name for leaf in leaves]
        if twice := {name for name in names if names.count(name) > 1}:
            raise TemplateError("operation", f"{', '.join(sorted(twice))} stands twice in the request")
        creates_when_zero, order_by = root.get("creates-when-zero"), root.get("order-by")
        for name in (creates_when_zero, order_by):
            if name is not None and name not in names:
                raise TemplateError("operation", f"{name} is no field of the request")
        action = root.get("soap-action")
        if not action:
            raise TemplateError("operation", "the file's root has no soap-action")
        return cls(
            name=etree.QName(request).localname,
            action=action,
            request=request,
            response=response,
            leaves=tuple(leaves),
            creates_when_zero=creates_when_zero,
            order_by=order_by,
        )

    def leaf(self, name: str, option: str) -> Leaf:
        """The leaf called *name*.

        Raises:
            SettingsError: there is none; the error names *option*.
        """
        for leaf in self.leaves:
            if leaf.name == name:
                return leaf
        near = did_you_mean(name, tuple(leaf.name for leaf in self.leaves))
        raise SettingsError(option, f"{self.name} has no field {name}", f"did you mean {near}?" if near else "")


def _only_child(root: etree._Element, name: str) -> etree._Element:
    found = root.find(name)
    if found is None or len(found) != 1:
        raise TemplateError("operation", f"the file must have <{name}> with one element in it")
    return found[0]


def _collect(element: etree._Element, leaves: list[Leaf]) -> None:
    if element.attrib:
        raise TemplateError("operation", f"<{etree.QName(element).localname}> has attributes, which bodies cannot have")
    if len(element) == 0:
        leaves.append(Leaf(etree.QName(element).localname, leaf_type(element.text or "")))
    for child in element:
        _collect(child, leaves)


class _Slot(NamedTuple):
    """Where a leaf's text goes: part number *at*; *opening* and *closing* are its tags where it may be left out."""

    at: int
    name: str
    to_xml: Callable[[Any], str]
    quoted: bool
    optional: bool
    opening: str
    closing: str
    default: str | None


class Template:
    """Makes envelopes of one operation in one SOAP version.

    Args:
        operation: what to make them of.
        soap: the version.
        defaults: JSON values for fields that a record lacks; text is read as the field's type asks.

    Raises:
        SettingsError: a default names no field or has no value of its type.
    """

    def __init__(self, operation: Operation, soap: Soap, defaults: Mapping[str, Any] | None = None) -> None:
        self.operation = operation
        self.defaults = {name: _default(operation, name, value) for name, value in (defaults or {}).items()}
        self._names = tuple(leaf.name for leaf in operation.leaves)
        self._parts: list[str] = [soap.opening()]
        self._slots: list[_Slot] = []
        self._compile(operation.request, None)
        self._parts[-1] += soap.closing()
        self._quoted = sum(slot.quoted for slot in self._slots)
        self._begun = False
        self._compiled: Quick | None = None

    def layouts(self) -> Layouts:
        """What makes envelopes of lines without parsing them; it has learned nothing yet."""
        return Layouts(self._fields(), self._parts[-1].encode())

    def render(self, values: Mapping[str, Any], *, plain: bool = False) -> tuple[bytes, int]:
        """The envelope of a record's *values*, and how many of them are strings in JSON.

        *plain*: they come from a line that is (``leaf.is_plain``).

        Raises:
            RecordError: the values make no correct envelope. Fields are looked at in the order of the sample, unknown
                ones first; ``line`` is left 0.
        """
        # To compile the quick way takes a while, and the first record is to be sent soon.
        quick = self._quick(values, plain) if self._begun else None
        self._begun = True
        text, strings = quick or self._render_carefully(values)
        envelope = text.encode()
        if len(envelope) > MAX_ENVELOPE:
            raise RecordError(
                "envelope_too_large", f"its envelope has {len(envelope)} bytes, over {MAX_ENVELOPE} (4096 KiB)"
            )
        return envelope, strings

    def _quick(self, values: Mapping[str, Any], plain: bool) -> tuple[str, int] | None:  # noqa: FBT001 - as a Quick
        if self._compiled is None:
            self._compiled = compile_quick(tuple(self._places()), self._parts[-1])
        return self._compiled(values, plain)

    def _render_carefully(self, values: Mapping[str, Any]) -> tuple[str, int]:
        """The same from leaf to leaf, whatever the values are; as text."""
        parts = self._parts.copy()
        strings = self._quoted
        known = 0
        for at, name, to_xml, quoted, optional, opening, closing, default in self._slots:
            value = values.get(name)
            if value is not None:
                known += 1
                try:
                    text = to_xml(value)
                except RecordError as error:
                    self._refuse_unknown(values)
                    raise RecordError(error.kind, error.message, name) from None
                parts[at] = f"{opening}{text}{closing}" if optional else text
                continue
            known += name in values
            strings -= quoted
            if default is not None:
                parts[at] = f"{opening}{default}{closing}"
            elif not optional:
                self._refuse_unknown(values)
                raise RecordError("missing_field", _missing(name, values), name)
        if known != len(values):
            self._refuse_unknown(values)
        return "".join(parts), strings

    def _places(self) -> Iterator[Place]:
        """The leaves in their order."""
        for slot in self._slots:
            usual = self.operation.leaf(slot.name, "operation").type.usual
            # A default is nothing that a record has: the careful way puts it in.
            optional = slot.optional and slot.default is None
            yield Place(self._parts[slot.at - 1], slot.name, usual, slot.quoted, optional, slot.opening, slot.closing)

    def _fields(self) -> Iterator[Field]:
        """The leaves in their order, as bytes."""
        for slot in self._slots:
            plain = self.operation.leaf(slot.name, "operation").type.plain
            absent = "" if slot.optional else None
            if slot.default is not None:
                absent = f"{slot.opening}{slot.default}{slot.closing}"
            yield Field(
                self._parts[slot.at - 1].encode(),
                slot.name,
                b'"(%b)"' % plain if slot.quoted else b"(%b)" % plain,
                None if absent is None else absent.encode(),
                slot.opening.encode(),
                slot.closing.encode(),
            )

    def _refuse_unknown(self, values: Mapping[str, Any]) -> None:
        """Raise for the first of *values* that is no field: the service would drop it without a word."""
        for name in values:
            if name not in self._names:
                near = did_you_mean(name, self._names)
                hint = f"did you mean {near}?" if near else f"{self.operation.name} has no such field"
                raise RecordError("unknown_field", f"unknown field; {hint}", name[:200])

    def _compile(self, element: etree._Element, outer: str | None) -> None:
        """Append *element* to the parts: literal text runs on in the last one, each leaf opens a part of its own."""
        name: Any = etree.QName(element)  # its stubs say that it always has a namespace, and mypyc would insist
        space = "" if name.namespace == outer else f' xmlns="{name.namespace or ""}"'
        opening, closing = f"<{name.localname}{space}>", f"</{name.localname}>"
        if len(element):
            self._parts[-1] += opening
            for child in element:
                self._compile(child, name.namespace)
            self._parts[-1] += closing
            return
        leaf = self.operation.leaf(name.localname, "operation")
        optional = leaf.type.optional
        if not optional:
            self._parts[-1] += opening
        default = leaf.type.to_xml(self.defaults[leaf.name]) if leaf.name in self.defaults else None
        tags = (opening, closing) if optional else ("", "")
        self._slots.append(
            _Slot(len(self._parts), leaf.name, leaf.type.to_xml, leaf.type.quoted, optional, *tags, default)
        )
        self._parts += ["", "" if optional else closing]


def _missing(name: str, values: Mapping[str, Any]) -> str:
    given = "is null" if name in values else "is missing"
    return f"{given}, and the service would make a default of it; give a value, or --default {name}=VALUE"


def _default(operation: Operation, name: str, value: Any) -> Any:
    leaf = operation.leaf(name, "--default")
    try:
        typed = leaf.type.from_text(value) if isinstance(value, str) else value
        leaf.type.to_xml(typed)
    except (ValueError, RecordError) as error:
        message = error.message if isinstance(error, RecordError) else str(error)
        raise SettingsError("--default", f"{name}: {message}") from error
    return typed
