"""What an answer means: (status, headers, body) → Judgement.

The body is read before the status is believed: a result is a result and a fault is a fault at any status, and a status
of 200 proves nothing. Only where the body speaks no SOAP does the status decide. What is not listed is UNCERTAIN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from lxml import etree

from batcher.core.answer import Answer, Matcher
from batcher.core.document import Document
from batcher.core.fingerprint import one_line
from batcher.core.verdict import Judgement, Problem, Sample, Verdict
from batcher.errors import ConnectionLost, ReplyTimeout, TransportError
from batcher.values import Mask

_ACCEPTED, _SUCCESS = Verdict.ACCEPTED, Sample.SUCCESS
_CLIENT_CODES = frozenset({"Client", "Sender", "DataEncodingUnknown"})
_MISDIRECTED_CODES = frozenset({"VersionMismatch", "MustUnderstand"})
# What ASP.NET answers in 1.1 and, with and without an action, in 1.2 (Soap11- and Soap12ServerProtocolHelper).
_UNKNOWN_ACTION = re.compile(r"SOAPAction|supply a valid soap action|The action '[^']*' was not recognized")
# How ASP.NET says that it could not read the record's values; it may quote them, whatever they speak of.
_UNREAD_DOCUMENT = "There is an error in XML document"

_REFUSED = frozenset({400, 413})
_NO_SESSION = frozenset({401, 403})
_MISDIRECTED = frozenset({404, 405, 407, 410, 415})
_THROTTLED = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})
_PAGE_LIMIT = 64 * 1024
"""Bytes of a page, and characters of a fault, that are read: the operator's patterns may be slow ones."""

# A page may be cut anywhere, and may be anything: what has no end goes to the end, and every character is read once.
_tags = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>?", re.IGNORECASE | re.DOTALL)
_title = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the answers to one operation's requests.

    Attributes:
        matcher: finds the operation's result.
        session_pattern: a fault, a page or a redirect whose text it finds says that the session is gone.
        transient_pattern: a Server fault whose text it finds says that the call was turned away and will pass.
        mask: hides what the texts of answers may not tell; it is asked for answers that are not accepted alone.
    """

    matcher: Matcher
    session_pattern: re.Pattern[str]
    transient_pattern: re.Pattern[str]
    mask: Mask = field(default_factory=Mask)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, wall: float) -> Judgement:
        """What the answer means.

        Args:
            status: of HTTP.
            headers: of HTTP; a mapping that finds names in any letter case.
            body: decompressed.
            wall: the time of day in seconds since 1970, against which a Retry-After date is measured.
        """
        answer = self.matcher.match(body)
        if answer is not None:
            return _accept(answer)
        document = Document.parse(body)
        envelope = document is not None and document.body is not None
        if document is not None and envelope:
            if (answer := self.matcher.find(document)) is not None:
                return _accept(answer)
            if (fault := _Fault.find(document)) is not None:
                return self._judge_fault(fault, status, retry_after(headers, wall))
        return self._judge_status(status, headers, body, retry_after(headers, wall), envelope=envelope)

    def _judge_fault(self, fault: _Fault, status: int, wait: float | None) -> Judgement:
        client = fault.code.split(".")[0] in _CLIENT_CODES
        problem = Problem(
            "client_fault" if client else "server_fault",
            one_line(self.mask.hide(fault.text)) or f"a {self.mask.hide(fault.code) or 'nameless'} fault without text",
            fault_code=self.mask.hide(fault.code),
            http_status=status,
        )

        def judgement(verdict: Verdict, sample: Sample = Sample.IGNORE, *, transient: bool = False) -> Judgement:
            return Judgement(verdict, sample, problem=problem, transient=transient, retry_after=wait, readable=True)

        if client and _UNREAD_DOCUMENT in fault.text:
            return judgement(Verdict.REFUSED)
        if fault.code in _MISDIRECTED_CODES or (client and _UNKNOWN_ACTION.search(fault.text)):
            return judgement(Verdict.MISDIRECTED)
        # The code speaks too: Client.Authentication.
        if status in _NO_SESSION or self.session_pattern.search(f"{fault.code} {fault.text}"):
            return judgement(Verdict.NO_SESSION)
        if client:
            return judgement(Verdict.REFUSED)
        transient = status in _THROTTLED or self.transient_pattern.search(fault.text) is not None
        return judgement(Verdict.FAULTED, Sample.TURNED_AWAY if transient else Sample.IGNORE, transient=transient)

    def _judge_status(
        self, status: int, headers: Mapping[str, str], body: bytes, wait: float | None, *, envelope: bool
    ) -> Judgement:
        page = _tags.sub(" ", body[:_PAGE_LIMIT].decode(errors="replace"))
        said = _describe(status, headers, body, page, self.mask, envelope=envelope)

        def judgement(verdict: Verdict, sample: Sample = Sample.IGNORE, kind: str = "http_error") -> Judgement:
            return Judgement(
                verdict,
                sample,
                problem=Problem(kind, said, http_status=status),
                retry_after=wait,
                readable=verdict is not Verdict.UNCERTAIN,
            )

        if status in _REFUSED:
            return judgement(Verdict.REFUSED)
        if status in _NO_SESSION:
            return judgement(Verdict.NO_SESSION)
        if status in _MISDIRECTED:
            return judgement(Verdict.MISDIRECTED)
        if status in _THROTTLED:
            return judgement(Verdict.THROTTLED, Sample.TURNED_AWAY)
        if status in _GATEWAY:
            return judgement(Verdict.UNCERTAIN, Sample.DROPPED, "gateway")
        if 300 <= status < 400 and self.session_pattern.search(headers.get("Location", "")):  # noqa: PLR2004
            return judgement(Verdict.NO_SESSION)
        if 200 <= status < 400 and _is_html(headers, body) and self.session_pattern.search(page):  # noqa: PLR2004
            return judgement(Verdict.NO_SESSION)
        return judgement(Verdict.UNCERTAIN, kind="unreadable_reply")


def judge_failure(error: TransportError, mask: Mask) -> Judgement:
    """What an exchange means that brought no answer; *mask* hides what its text may not tell."""
    said = one_line(mask.hide(str(error)))
    if not error.sent:
        sample = Sample.DROPPED if error.timed_out else Sample.IGNORE
        return Judgement(Verdict.NOT_SENT, sample, problem=Problem("outage", said))
    if isinstance(error, ReplyTimeout):
        kind, sample = "timeout", Sample.DROPPED
    elif isinstance(error, ConnectionLost):
        kind, sample = "connection_lost", Sample.DROPPED if error.fresh else Sample.IGNORE
    else:
        kind, sample = "unreadable_reply", Sample.IGNORE
    return Judgement(Verdict.UNCERTAIN, sample, problem=Problem(kind, said))


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3: seconds or a date); None where it says nothing.

    A date in the past is 0; what is neither form counts as nothing.
    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    if re.fullmatch(r"[A-Za-z]+, .{1,40}GMT", value):
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - wall)
        except (ValueError, OverflowError):
            return None
    return None


def _accept(answer: Answer) -> Judgement:
    fields, key = answer
    accepted = (_ACCEPTED, _SUCCESS, fields, key, None, False, None, True)
    return tuple.__new__(Judgement, accepted)  # as Judgement(…), which costs four times as much


@dataclass(frozen=True, slots=True)
class _Fault:
    """A SOAP fault: *code* without prefix, in the words of SOAP 1.1 or 1.2 as it came, and its *text*."""

    code: str
    text: str

    @classmethod
    def find(cls, document: Document) -> _Fault | None:
        """The fault in an envelope. Servers put the shape of one version into envelopes of the other: both are read."""
        body = document.body
        fault = None if body is None else next((child for child in body.iterchildren("{*}Fault")), None)
        if fault is None:
            return None

        def text(*names: str) -> str:
            element: etree._Element | None = fault
            for name in names:
                element = None if element is None else next(element.iterchildren(f"{{*}}{name}"), None)
            return "" if element is None else document.text(element).strip()[:_PAGE_LIMIT]

        code = (text("faultcode") or text("Code", "Value")).rpartition(":")[2]
        return cls(code, text("faultstring") or text("Reason", "Text") or text("Reason"))


def _is_html(headers: Mapping[str, str], body: bytes) -> bool:
    kind = headers.get("Content-Type", "").lower()
    start = body[:512].lstrip().lower()
    return "html" in kind or start.startswith((b"<!doctype html", b"<html"))


def _describe(status: int, headers: Mapping[str, str], body: bytes, page: str, mask: Mask, *, envelope: bool) -> str:
    """One line for people on an answer without SOAP: its status, where it points, and what its page says."""
    if 300 <= status < 400 and headers.get("Location"):  # noqa: PLR2004 - redirects
        return one_line(f"HTTP {status} to {mask.hide(headers['Location'].partition('?')[0])}")
    if not body:
        return f"HTTP {status} with an empty body"
    if envelope:
        return f"HTTP {status} with a SOAP envelope that holds neither the operation's result nor a fault"
    title = _title.search(body[:_PAGE_LIMIT].decode(errors="replace"))
    said = one_line(mask.hide(title[1] if title and title[1].strip() else page), 200)
    return f"HTTP {status} without a SOAP answer: {said}"
