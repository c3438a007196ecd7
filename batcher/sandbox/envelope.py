"""What a request's body says, read exactly as ASP.NET's serializer reads it: nothing is checked against the schema.

Unknown, misspelt and wrongly qualified elements are dropped, of two the first wins, what is missing keeps its default,
and a method element with a wrong name leaves the method without its argument. `System.Web.Services` and the code that
`XmlSerializer` generates are published in Microsoft's reference source.
"""

from collections.abc import Callable
from typing import Final

from batcher.sandbox.answers import SCHEMA, SOAP_11, SOAP_12, Dialect
from batcher.sandbox.fields import DEFAULTS, INDEX, Record, read_value
from batcher.sandbox.reader import Kind, Node, Reader

__all__ = ["NotUnderstood", "Unreadable", "WrongVersion", "dialect_of", "read_login", "read_record", "request_element"]

_NO_ENVELOPE: Final = "Request format is invalid: Missing required soap:Envelope element."
_NO_BODY: Final = "Request format is invalid: Missing required soap:Body element."


class Unreadable(Exception):
    """The envelope or a value in it cannot be read: a Client fault with this text."""


class WrongVersion(Exception):
    """The envelope is of no known SOAP version; the text is its namespace."""


class NotUnderstood(Exception):
    """A header that must be understood is not; the text is its name."""


def dialect_of(node: Node) -> Dialect:
    """The SOAP version of the envelope that starts at *node*, told by its namespace alone."""
    for dialect in (SOAP_11, SOAP_12):
        if node.name[0] == dialect.namespace:
            return dialect
    raise WrongVersion(node.name[0])


def request_element(reader: Reader) -> tuple[str, str]:
    """The name of the first element of the Body, for routing by it; ("", "") for an empty Body.

    Of Envelope and Body only the names count here, whatever version they are of. Raises `XmlBroken` and `Unreadable`.
    """
    namespace, name = reader.here().name
    if name != "Envelope":
        raise Unreadable(_NO_ENVELOPE)
    if reader.here().kind is Kind.EMPTY:
        raise Unreadable(_NO_BODY)
    reader.read()
    while not _is_start(reader.to_content(), (namespace, "Body")):
        if reader.here().kind is Kind.EOF:
            raise Unreadable(_NO_BODY)
        reader.skip()
    if reader.here().kind is Kind.EMPTY:
        return "", ""
    reader.read()
    return reader.to_content().name


def read_record(reader: Reader, dialect: Dialect) -> Record | None:
    """The Record of a SetOutlookSyncRecord envelope; None where the method would run without one.

    Raises `XmlBroken`, `Unreadable` and `NotUnderstood`.
    """
    found: list[Record] = []

    def wrapper() -> None:
        seen = False
        while _more(reader):
            if not seen and _is_start(reader.here(), (SCHEMA, "Record")):
                found.append(_record(reader))
                seen = True
            else:
                reader.skip()

    _walk(reader, dialect, "SetOutlookSyncRecord", wrapper)
    return found[-1] if found else None


def read_login(reader: Reader, dialect: Dialect) -> tuple[str | None, str | None]:
    """(email, pass) of an AuthenticateWebSafe envelope, None for what is missing; raises as `read_record` does."""
    found: dict[str, str] = {}

    def wrapper() -> None:
        while _more(reader):
            namespace, name = reader.here().name
            if namespace == SCHEMA and name in ("email", "pass") and name not in found:
                found[name] = reader.leaf()
            else:
                reader.skip()

    _walk(reader, dialect, "AuthenticateWebSafe", wrapper)
    return found.get("email"), found.get("pass")


def _walk(reader: Reader, dialect: Dialect, operation: str, wrapper: Callable[[], None]) -> None:
    """From the envelope's start to its end, with *wrapper* called inside each element of the method."""
    refused = _enter_body(reader, dialect)
    try:
        while _more(reader):
            if reader.here().kind is Kind.ELEMENT and reader.here().name == (SCHEMA, operation):
                reader.read()
                wrapper()
                reader.end_element()
            else:
                reader.skip()
    except ValueError as error:
        line, column = reader.position()
        raise Unreadable(f"There is an error in XML document ({line}, {column}). ---> {error}") from error
    while reader.here().depth > 0:
        reader.read()
    # The reader goes one node past the envelope, no further: junk there is an error, junk after a comment is not.
    reader.read()
    if refused is not None:
        raise NotUnderstood(refused)


def _enter_body(reader: Reader, dialect: Dialect) -> str | None:
    """Moves into the Body; returns the name of a header that must be understood, which nobody here does."""
    envelope = reader.here()
    if envelope.name[1] != "Envelope":
        raise Unreadable(_NO_ENVELOPE)
    if envelope.kind is Kind.EMPTY:
        raise Unreadable(_NO_BODY)
    reader.read()
    refused = None
    if _is_start(reader.to_content(), (dialect.namespace, "Header")):
        refused = _read_header(reader, dialect)
    if not _is_start(reader.to_content(), (dialect.namespace, "Body")):
        raise Unreadable(_NO_BODY)
    reader.read()
    return refused


def _read_header(reader: Reader, dialect: Dialect) -> str | None:
    refused = None
    if reader.here().kind is Kind.ELEMENT:
        reader.read()
        while _more(reader):
            must = (reader.here().attributes or {}).get((dialect.namespace, "mustUnderstand"))
            if must in ("1", "true"):
                refused = refused or reader.here().name[1]
            reader.skip()
    reader.read()
    return refused


def _record(reader: Reader) -> Record:
    kind = reader.xsi_type()
    if kind is not None:
        raise ValueError(
            f"The specified type was not recognized: name='{kind}', namespace='{SCHEMA}', at <Record xmlns='{SCHEMA}'>."
        )
    values = list(DEFAULTS)
    if reader.here().kind is Kind.EMPTY:
        reader.skip()
        return tuple(values)
    reader.read()
    seen: set[int] = set()
    while _more(reader):
        namespace, name = reader.here().name
        index = INDEX.get(name) if namespace == SCHEMA else None
        if index is None or index in seen:
            reader.skip()
        else:
            seen.add(index)
            values[index] = read_value(index, reader.leaf())
    reader.end_element()
    return tuple(values)


def _more(reader: Reader) -> bool:
    """Whether the element that is being read holds another child, which then is the current node."""
    return reader.to_content().kind not in (Kind.END, Kind.EOF)


def _is_start(node: Node, name: tuple[str, str]) -> bool:
    return node.kind in (Kind.ELEMENT, Kind.EMPTY) and node.name == name
