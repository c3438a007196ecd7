"""What a client can see of one answer, in a form in which two servers can be compared."""

import contextlib
import http.client
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from lxml import etree

TIMEOUT_S = 240.0
VERSIONS = {
    "http://schemas.xmlsoap.org/soap/envelope/": "1.1",
    "http://www.w3.org/2003/05/soap-envelope": "1.2",
}
SERVICE = "{http://schema.veetro.com}"
DEFAULTS = ("0", "false", "0001-01-01T00:00:00", "NA")
"""What a value field holds that was not sent."""
NEW_ID = 900
"""From here on an id was given by the server: no case sends one as large."""

# Where a text comes from the server's own tables: Mono leaves the place holders of its Microsoft originals unfilled.
SAME_TEXTS = (
    (re.compile(r"(the value of HTTP Header) .*"), r"\1 …"),
    (re.compile(r"(Possible SOAP version mismatch): .*"), r"\1: …"),
    (re.compile(r"SOAP header .* was not understood"), "SOAP header … was not understood"),
    (re.compile(r"(There is an error in XML document) \([^)]*\)"), r"\1 (…)"),
)
FORBIDDEN_REFERENCE = re.compile(rb"&#x([0-8BCEFbcef]|1[0-9A-Fa-f]);")
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?")


class Request(Protocol):
    """What is sent."""

    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True)
class Observation:
    """One answer. *version* to *header* are set where the body is a SOAP envelope.

    Attributes:
        status: the HTTP status.
        content: the content type in lower case, None where the body is empty.
        version: of the envelope, "1.1" or "1.2".
        fault: code and text, without line numbers and stack trace.
        response: the name of the response element.
        fields: its leaves by path; an id that the server gave is "new", and a dateTime with a zone is told in UTC.
        header: the envelope has a Header.
    """

    status: int
    content: str | None = None
    version: str | None = None
    fault: tuple[str, str] | None = None
    response: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    header: bool = False

    def __str__(self) -> str:
        """One line for people; value fields that hold their type's default are left out."""
        if self.version is None:
            return f"{self.status} {self.content or 'empty'}"
        told = f"{self.status} SOAP {self.version}{' with a Header' if self.header else ''}"
        if self.fault:
            return f"{told} {self.fault[0]}: {self.fault[1]}"
        fields = {name: text for name, text in self.fields.items() if text not in DEFAULTS}
        return f"{told} {self.response} {fields}"


def observe(url: str, case: Request) -> Observation:
    """Send *case* to *url* on a connection of its own, exactly as it is, and tell what came back."""
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)) as connection:
        connection.putrequest(case.method, parts.path, skip_accept_encoding=True)
        for name, value in case.headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(case.body)))
        connection.endheaders()
        # A server may answer and close before it has read all of a body that is too large.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(case.body)
        answer = connection.getresponse()
        return read(answer.status, answer.getheader("Content-Type"), answer.read())


def read(status: int, content_type: str | None, body: bytes) -> Observation:
    """The observation of an answer that is given in its parts."""
    content = content_type.lower() if content_type and body else None
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(FORBIDDEN_REFERENCE.sub(rb"[U+\1]", body), parser)
    except etree.XMLSyntaxError:
        return Observation(status, content)
    namespace = etree.QName(root).namespace or ""
    soap_body = root.find(f"{{{namespace}}}Body")
    if namespace not in VERSIONS or soap_body is None or not len(soap_body):
        return Observation(status, content)
    first, version = soap_body[0], VERSIONS[namespace]
    header = root.find(f"{{{namespace}}}Header") is not None
    if first.tag == f"{{{namespace}}}Fault":
        return Observation(status, content, version, _fault(first, namespace), header=header)
    return Observation(status, content, version, None, etree.QName(first).localname, _fields(first), header)


def _fault(fault: etree._Element, namespace: str) -> tuple[str, str]:
    paths = ("faultcode", "faultstring")
    if VERSIONS[namespace] == "1.2":
        paths = (f"{{{namespace}}}Code/{{{namespace}}}Value", f"{{{namespace}}}Reason/{{{namespace}}}Text")
    code, text = (fault.findtext(path) or "" for path in paths)
    text = text.partition("\n")[0]
    for pattern, same in SAME_TEXTS:
        text = pattern.sub(same, text)
    return code.rpartition(":")[2], text


def _fields(response: etree._Element) -> dict[str, str]:
    """The text of every leaf below the response's Result, by the path of local names."""
    found = {}
    for leaf in response.iter(f"{SERVICE}*"):
        if len(leaf) or leaf is response:
            continue
        above = [etree.QName(one).localname for one in leaf.iterancestors() if response in one.iterancestors()]
        name = "/".join([*reversed(above[:-1]), etree.QName(leaf).localname])
        found[name] = _same_value(name, leaf.text or "")
    return found


def _same_value(name: str, text: str) -> str:
    if name == "ImportSyncRecordID" and int(text) >= NEW_ID:
        return "new"
    if (moment := MOMENT.fullmatch(text)) and moment[3]:
        return _in_utc(*moment.groups(""))
    return text


def _in_utc(second: str, fraction: str, zone: str) -> str:
    local = datetime.fromisoformat(second).replace(tzinfo=UTC)
    if zone != "Z":
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        try:
            local += ahead if zone[0] == "-" else -ahead
        except OverflowError:
            return f"{second}{fraction}{zone}"
    return f"{local.replace(tzinfo=None).isoformat()}{fraction.rstrip('0')}Z"
