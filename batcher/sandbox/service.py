"""What a request means to the service: no sockets, no clock, no state.

`understand` routes as `System.Web.Services` does and gives either the final reply or the call to make: the caller
applies it. The checks come in the order in which the real service makes them, so the first mistake decides the answer.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

from batcher.sandbox import answers
from batcher.sandbox.answers import SCHEMA, SOAP_11, SOAP_12, Dialect, Reply
from batcher.sandbox.envelope import (
    NotUnderstood,
    Unreadable,
    WrongVersion,
    dialect_of,
    read_login,
    read_record,
    request_element,
)
from batcher.sandbox.fields import Record
from batcher.sandbox.quick import quick_record
from batcher.sandbox.reader import Reader, XmlBroken

__all__ = ["BODY_LIMIT", "Login", "Save", "too_large", "understand"]

BODY_LIMIT: Final = 4096 * 1024
"""Bytes of a request body: ASP.NET's default `maxRequestLength`."""

SAVE: Final = "SetOutlookSyncRecord"
LOGIN: Final = "AuthenticateWebSafe"
_ACTIONS: Final = {f"{SCHEMA}/{name}": name for name in (SAVE, LOGIN)}
_ELEMENTS: Final = {(SCHEMA, name): name for name in (SAVE, LOGIN)}
_NO_ACTION: Final = "Unable to handle request without a valid action parameter. Please supply a valid soap action."
_CHARSETS: Final = frozenset({"utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii", "iso8859-1", "cp1252"})
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Save:
    """Run SetOutlookSyncRecord; *record* is None where the envelope holds none for it."""

    dialect: Dialect
    record: Record | None


@dataclass(frozen=True, slots=True)
class Login:
    """Run AuthenticateWebSafe."""

    dialect: Dialect
    email: str | None
    password: str | None


@dataclass(frozen=True, slots=True)
class _Media:
    """A Content-Type header taken apart as `System.Web.Services.Protocols.ContentType` does."""

    base: str
    charset: str | None
    action: str | None


def understand(headers: Mapping[str, str], body: bytes) -> Reply | Save | Login:
    """The call that a POST to the service asks for, or the reply where there is nothing to call.

    *headers* looks names up whatever their case.
    """
    soap_action = headers.get("SOAPAction")
    media = _media(headers.get("Content-Type", ""))
    guessed = SOAP_12 if soap_action is None or media.base == SOAP_12.media_type else SOAP_11
    text = _decoded(media, body)
    quick = None if text is None else quick_record(text)
    routed = _route_by_header(guessed, soap_action, media) or (SAVE if quick else _route_by_body(media, text))
    if isinstance(routed, Reply):
        return routed
    if media.base not in (SOAP_11.media_type, SOAP_12.media_type):
        return Reply(415, guessed.content_type)
    if routed == SAVE and quick is not None and (quick[0] is SOAP_12 or media.base == SOAP_11.media_type):
        return Save(*quick)
    return _read(guessed, routed, media, text)


def too_large(headers: Mapping[str, str]) -> Reply:
    """The answer to a body over `BODY_LIMIT`, which is not read."""
    media = _media(headers.get("Content-Type", ""))
    dialect = SOAP_12 if media.base == SOAP_12.media_type else SOAP_11
    why = "There was an exception running the extensions specified in the config file."
    return answers.fault(dialect, "Server", f"{why} ---> Maximum request length exceeded.")


def _route_by_header(guessed: Dialect, soap_action: str | None, media: _Media) -> str | Reply | None:
    """The operation that SOAPAction or the content type's `action` names; None where the body has to tell."""
    if guessed is SOAP_12 or soap_action is None:
        return _ACTIONS.get(unquote_plus(media.action or ""))
    action = soap_action
    if len(action) > 1 and action.startswith('"') and action.endswith('"'):
        action = action[1:-1]
    action = unquote_plus(action)
    unknown = f"Server did not recognize the value of HTTP Header SOAPAction: {action}."
    return _ACTIONS.get(action) or answers.fault(SOAP_11, "Client", unknown)


def _route_by_body(media: _Media, text: str | None) -> str | Reply:
    """The operation that the first element of the Body names, or the fault of a request that reaches none."""
    if text is None:
        return answers.server_fault(SOAP_12, "Invalid character in the given encoding. Line 1, position 1.")
    dialect = SOAP_12
    try:
        reader = Reader(text)
        dialect = dialect_of(reader.to_content())
        name = _ELEMENTS.get(request_element(reader))
    except WrongVersion as error:
        return answers.version_mismatch(str(error))
    except (XmlBroken, Unreadable) as error:
        return answers.server_fault(dialect, str(error))
    action = unquote_plus(media.action or "")
    why = f"Unable to handle request. The action '{action}' was not recognized." if action else _NO_ACTION
    return name or answers.fault(dialect, "Client", why)


def _read(guessed: Dialect, operation: str, media: _Media, text: str | None) -> Reply | Save | Login:
    dialect = guessed
    try:
        if text is None:
            return Reply(400, dialect.content_type)
        reader = Reader(text)
        dialect = dialect_of(reader.to_content())
        if dialect is SOAP_11 and media.base != SOAP_11.media_type:
            return Reply(415, dialect.content_type)
        if operation == LOGIN:
            return Login(dialect, *read_login(reader, dialect))
        return Save(dialect, read_record(reader, dialect))
    except XmlBroken:
        return Reply(400, dialect.content_type)
    except WrongVersion as error:
        return answers.version_mismatch(str(error))
    except Unreadable as error:
        return answers.client_fault(dialect, str(error))
    except NotUnderstood as error:
        return answers.fault(dialect, "MustUnderstand", f"SOAP header {error} was not understood.", detail=False)


@lru_cache(maxsize=256)
def _media(header: str) -> _Media:
    # Nothing is trimmed off the base type: a space before the semicolon makes it another type, and a 415.
    base, _, parameters = header.partition(";")
    found = {
        name.strip().lower(): value.strip().strip("\"'")
        for name, _, value in (parameter.partition("=") for parameter in parameters.split(";"))
    }
    return _Media(base.lower(), found.get("charset"), found.get("action"))


def _decoded(media: _Media, body: bytes) -> str | None:
    """The body as text, as .NET's `StreamReader` reads it; None where an XML reader alone refuses its bytes.

    A byte order mark decides, then the charset. Without a charset, or with an unknown one, text is ASCII: every other
    byte becomes a question mark. Bytes that the charset does not know become U+FFFD.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(name, "replace")
    charset = _charset(media.charset)
    if charset is None:
        if media.base.startswith("text/"):
            return body.decode("ascii", "replace").replace("\ufffd", "?")
        try:
            return body.decode(_declared(body))
        except ValueError:
            return None
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        # .NET makes two marks of the three bytes of a surrogate, Python three.
        mended = re.sub(rb"\xed[\xa0-\xbf][\x80-\xbf]", b"\xff\xff", body) if charset == "utf-8" else body
        text = mended.decode(charset, "replace")
        return text.replace("\ufffd", "?") if charset == "ascii" else text


def _charset(name: str | None) -> str | None:
    try:
        found = codecs.lookup(name or "").name
    except LookupError:
        return None
    return found if found in _CHARSETS else None


def _declared(body: bytes) -> str:
    """The encoding that the XML declaration names, for a body whose Content-Type names none."""
    match = re.match(rb"<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)", body)
    return (match and _charset(match[1].decode())) or "utf-8"
