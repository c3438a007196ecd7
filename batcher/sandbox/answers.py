"""Everything the service says, as whole replies: results, SOAP faults of both versions, and IIS's HTML pages."""

from dataclasses import dataclass
from typing import Final

from batcher.sandbox.fields import FIELDS, Record

__all__ = [
    "SOAP_11",
    "SOAP_12",
    "Dialect",
    "Reply",
    "authenticated",
    "client_fault",
    "escaped",
    "fault",
    "no_result",
    "page",
    "saved",
    "server_fault",
    "version_mismatch",
]

SCHEMA: Final = "http://schema.veetro.com"
_NS_11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_NS_12: Final = "http://www.w3.org/2003/05/soap-envelope"


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer. An empty *content_type* means that there is no such header."""

    status: int
    content_type: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "private, max-age=0"),)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two SOAP versions."""

    version: str
    namespace: str
    media_type: str
    fault_codes: tuple[tuple[str, str], ...]

    @property
    def content_type(self) -> str:
        """The value of the Content-Type header of an answer."""
        return f"{self.media_type}; charset=utf-8"

    def envelope(self, body: str, header: str = "") -> bytes:
        """The whole document around what goes into the Body: prefix `soap` in both versions, no BOM, not indented."""
        return (
            f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{self.namespace}" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
            f"{header}<soap:Body>{body}</soap:Body></soap:Envelope>"
        ).encode()


SOAP_11: Final = Dialect("1.1", _NS_11, "text/xml", ())
SOAP_12: Final = Dialect("1.2", _NS_12, "application/soap+xml", (("Client", "Sender"), ("Server", "Receiver")))


def escaped(text: str) -> str:
    """*text* as .NET's `XmlTextWriter` prints it in an element: quotes and CR stay as they are."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    return text.replace(">", "&gt;") if ">" in text else text


def _element(name: str, value: str | None) -> str:
    if value is None:
        return ""
    return f"<{name}>{escaped(value)}</{name}>" if value else f"<{name} />"


def _halves(dialect: Dialect) -> tuple[bytes, bytes]:
    result = '<SetOutlookSyncRecordResponse xmlns="http://schema.veetro.com"><SetOutlookSyncRecordResult>@'
    whole = dialect.envelope(result + "</SetOutlookSyncRecordResult></SetOutlookSyncRecordResponse>")
    before, _, after = whole.partition(b"@")
    return before, after


_HALVES: Final = {dialect.version: _halves(dialect) for dialect in (SOAP_11, SOAP_12)}
# (opening, closing, empty) of each field; only strings can hold something to escape or be empty.
_TAGS: Final = tuple((f"<{name}>", f"</{name}>", f"<{name} />", kind == "string") for name, kind in FIELDS.items())


def saved(dialect: Dialect, record: Record, raw: str = "") -> Reply:
    """The saved copy; *raw* is put unescaped behind ErrorMsg's text, to make answers that a parser refuses."""
    parts: list[str] = []
    for value, (opening, closing, empty, is_string) in zip(record, _TAGS, strict=True):
        if raw and opening == "<ErrorMsg>":
            parts += (opening, escaped(value or ""), raw, closing)
        elif value is None:
            continue
        elif not is_string:
            parts += (opening, value, closing)
        elif value:
            parts += (opening, escaped(value), closing)
        else:
            parts.append(empty)
    before, after = _HALVES[dialect.version]
    return Reply(200, dialect.content_type, before + "".join(parts).encode() + after)


def no_result(dialect: Dialect, operation: str) -> Reply:
    """What a method that ran with nothing and returned null gets: 200, and a response element with nothing in it."""
    return Reply(200, dialect.content_type, dialect.envelope(f'<{operation}Response xmlns="{SCHEMA}" />'))


def authenticated(dialect: Dialect, code: str, session: str | None, email: str) -> Reply:
    """The answer of AuthenticateWebSafe; without a *session* there is no key and no user in it."""
    user = f"<User><EntityID>3</EntityID><Name>Sandbox</Name>{_element('Email', email)}</User>" if session else ""
    result = f"{_element('Code', code)}{_element('SessionKey', session)}{user}"
    body = (
        f'<AuthenticateWebSafeResponse xmlns="{SCHEMA}"><AuthenticateWebSafeResult>{result}'
        "</AuthenticateWebSafeResult></AuthenticateWebSafeResponse>"
    )
    return Reply(200, dialect.content_type, dialect.envelope(body))


def fault(dialect: Dialect, code: str, text: str, *, detail: bool = True, header: str = "") -> Reply:
    """A SOAP fault at status 500. *code* is the name that SOAP 1.1 uses (`Client`, `Server`, …)."""
    if dialect is SOAP_11:
        body = (
            f"<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{escaped(text)}</faultstring>"
            f"{'<detail />' if detail else ''}</soap:Fault>"
        )
    else:
        value = dict(dialect.fault_codes).get(code, code)
        body = (
            f"<soap:Fault><soap:Code><soap:Value>soap:{value}</soap:Value></soap:Code><soap:Reason>"
            f'<soap:Text xml:lang="en">{escaped(text)}</soap:Text></soap:Reason>'
            f"{'<soap:Detail />' if detail else ''}</soap:Fault>"
        )
    return Reply(500, dialect.content_type, dialect.envelope(body, header))


def client_fault(dialect: Dialect, why: str) -> Reply:
    """The fault for a request that the service could not read: our values, or our envelope."""
    return fault(dialect, "Client", f"Server was unable to read request. ---> {why}")


def server_fault(dialect: Dialect, why: str) -> Reply:
    """The fault for an exception in the method, or on the way to it."""
    return fault(dialect, "Server", f"Server was unable to process request. ---> {why}")


def version_mismatch(namespace: str) -> Reply:
    """The fault for an envelope of no known version: a SOAP Header tells the known ones, before the Body."""
    supported = "".join(
        f'<soap12:SupportedEnvelope qname="{prefix}:Envelope" xmlns:{prefix}="{known}" />'
        for prefix, known in (("soap", _NS_11), ("soap12", _NS_12))
    )
    header = f'<soap:Header><soap12:Upgrade xmlns:soap12="{_NS_12}">{supported}</soap12:Upgrade></soap:Header>'
    text = f"Possible SOAP version mismatch: Envelope namespace {namespace} was unexpected. Expecting {_NS_11}."
    return fault(SOAP_11, "VersionMismatch", text, header=header)


def page(status: int, title: str, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """An HTML page as IIS or a proxy makes it."""
    body = (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
        f'\r\n<html xmlns="http://www.w3.org/1999/xhtml">\r\n<head><title>{escaped(title)}</title></head>\r\n'
        f"<body><h2>{escaped(title)}</h2><p>{escaped(text)}</p></body>\r\n</html>\r\n"
    )
    return Reply(status, "text/html", body.encode(), headers)
