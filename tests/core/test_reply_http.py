from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.reply import judge_failure, retry_after
from batcher.core.soap import SOAP_11
from batcher.core.verdict import IN_DOUBT_KINDS, REJECTED_KINDS, Sample, Verdict
from batcher.errors import ConnectFailed, ConnectionLost, ReplyTimeout, ReplyUnreadable, TransportError
from batcher.values import Mask
from tests.core.judging import WALL, judge
from tests.core.samples import NAMESPACE, VALID, answer, envelope, fault, quickly

ACCEPTED, REFUSED, THROTTLED, NO_SESSION = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.THROTTLED, Verdict.NO_SESSION
MISDIRECTED, UNCERTAIN, NOT_SENT = Verdict.MISDIRECTED, Verdict.UNCERTAIN, Verdict.NOT_SENT

HTML = {"Content-Type": "text/html; charset=utf-8"}
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Hello</body></html>"
ERROR_PAGE = b"<html><head><title>Runtime Error</title></head><body>An error occurred</body></html>"
EMPTY_RESPONSE = envelope(SOAP_11, f'<SetOutlookSyncRecordResponse xmlns="{NAMESPACE}" />')

REFUSE, THROTTLE = (REFUSED, Sample.IGNORE, "http_error"), (THROTTLED, Sample.TURNED_AWAY, "http_error")
SIGN_IN, MISDIRECT = (NO_SESSION, Sample.IGNORE, "http_error"), (MISDIRECTED, Sample.IGNORE, "http_error")
GATEWAY, UNREADABLE = (UNCERTAIN, Sample.DROPPED, "gateway"), (UNCERTAIN, Sample.IGNORE, "unreadable_reply")
EMPTY, NO_SOAP = "with an empty body", "without a SOAP answer: "
ERROR, LOGIN = f"{NO_SOAP}Runtime Error", f"{NO_SOAP}Log in"
STATUSES = [
    # status, headers, body, what it means, what is said of it
    (400, {}, b"", *REFUSE, EMPTY),
    (413, HTML, ERROR_PAGE, *REFUSE, ERROR),
    (429, {}, b"", *THROTTLE, EMPTY),
    (503, HTML, LOGIN_PAGE, *THROTTLE, LOGIN),
    (401, {}, b"", *SIGN_IN, EMPTY),
    (403, HTML, ERROR_PAGE, *SIGN_IN, ERROR),
    (302, {"Location": "/Login.aspx?ReturnUrl=%2fxml"}, b"", *SIGN_IN, "to /Login.aspx"),
    (307, {"Location": "https://x/sign-in"}, ERROR_PAGE, *SIGN_IN, "to https://x/sign-in"),
    (302, HTML | {"Location": "/"}, LOGIN_PAGE, *SIGN_IN, "to /"),
    (200, HTML, LOGIN_PAGE, *SIGN_IN, LOGIN),
    (200, {}, b"\n" + LOGIN_PAGE, *SIGN_IN, LOGIN),
    (200, HTML, b"Please sign in", *SIGN_IN, "without a SOAP answer: Please sign in"),
    (404, HTML, ERROR_PAGE, *MISDIRECT, ERROR),
    (405, {}, b"", *MISDIRECT, EMPTY),
    (410, {}, b"", *MISDIRECT, EMPTY),
    (415, {}, b"", *MISDIRECT, EMPTY),
    (407, {}, b"", *MISDIRECT, EMPTY),
    (502, HTML, ERROR_PAGE, *GATEWAY, ERROR),
    (504, {}, b"", *GATEWAY, EMPTY),
    (500, {}, b"", *UNREADABLE, EMPTY),
    (500, HTML, ERROR_PAGE, *UNREADABLE, ERROR),
    (500, HTML, LOGIN_PAGE, *UNREADABLE, LOGIN),
    (200, HTML, ERROR_PAGE, *UNREADABLE, ERROR),
    (200, {}, b"", *UNREADABLE, EMPTY),
    (200, {}, b"Please log in", *UNREADABLE, "without a SOAP answer: Please log in"),
    (200, {}, answer(VALID, SOAP_11)[:-9], *UNREADABLE, NO_SOAP),
    (200, {}, EMPTY_RESPONSE, *UNREADABLE, "with a SOAP envelope that holds neither"),
    (200, {}, b"\xff\xfe\x00", *UNREADABLE, NO_SOAP),
    (302, {"Location": "https://x/xml"}, b"", *UNREADABLE, "to https://x/xml"),
    (304, {}, b"", *UNREADABLE, EMPTY),
    *(
        (status, {}, b"", *UNREADABLE, EMPTY)
        for status in (
            *(101, 199, 201, 202, 204, 206, 300, 402, 406, 408, 409, 411, 418, 421, 422, 431, 451, 499, 501, 505),
            *(520, 599, 999),
        )
    ),
]


@pytest.mark.parametrize(("status", "headers", "body", "verdict", "sample", "kind", "message"), STATUSES)
def test_what_an_answer_without_soap_means(
    status: int, headers: dict[str, str], body: bytes, verdict: Verdict, sample: Sample, kind: str, message: str
) -> None:
    """Only where the body speaks no SOAP does the status decide; what is not listed is uncertain."""
    found = judge(status, body, headers)
    assert (found.verdict, found.sample, found.transient) == (verdict, sample, False)
    assert found.readable is (verdict is not UNCERTAIN)
    assert found.problem is not None
    assert (found.problem.kind, found.problem.http_status, found.problem.fault_code) == (kind, status, None)
    assert found.problem.message.startswith(f"HTTP {status} {message}")
    assert found.problem.kind in {*REJECTED_KINDS, *IN_DOUBT_KINDS}


@pytest.mark.parametrize(
    "hidden",
    [
        b"<script>session.login()</script>",
        b"<SCRIPT type='x'>session</SCRIPT >",
        b"<style>.login {}</style>",
        b"<!-- log in -->",
        b"<form action='/login'>",
        b"<script>session",
        b"<!-- session",
        b"<a href='login",
        b"<script>" + b"x" * 70_000 + b"session</script>",
    ],
)
def test_only_the_text_of_a_page_speaks(hidden: bytes) -> None:
    """What scripts, styles, comments and tags hold is nothing that the page says, wherever the page is cut."""
    assert judge(200, b"<html><body>Welcome" + hidden, HTML).verdict is UNCERTAIN


@pytest.mark.parametrize("piece", [b"<", b"<script", b"<script>", b"<!--", b"<title>", b"<title", b"</script ", b"&#"])
def test_a_page_of_anything_is_read(piece: bytes) -> None:
    """Megabytes of what looks like the beginning of mark-up end in a verdict: every character is read once."""
    for status, headers in ((200, HTML), (500, {})):
        assert judge(status, piece * 300_000, headers).verdict is UNCERTAIN


def failure(error: TransportError) -> tuple[Verdict, Sample, str]:
    found = judge_failure(error, Mask())
    assert found.problem is not None
    assert (found.problem.message, found.problem.http_status, found.readable) == ("what happened", None, False)
    return found.verdict, found.sample, found.problem.kind


@pytest.mark.parametrize(
    ("error", "verdict", "sample", "kind"),
    [
        (ConnectFailed("what\nhappened"), NOT_SENT, Sample.IGNORE, "outage"),
        (ConnectFailed("what\nhappened", timed_out=True), NOT_SENT, Sample.DROPPED, "outage"),
        (ReplyTimeout("what happened"), UNCERTAIN, Sample.DROPPED, "timeout"),
        (ReplyTimeout("what happened", sent=False), NOT_SENT, Sample.DROPPED, "outage"),
        (ConnectionLost("what happened", sent=True), UNCERTAIN, Sample.IGNORE, "connection_lost"),
        (ConnectionLost("what happened", sent=True, fresh=True), UNCERTAIN, Sample.DROPPED, "connection_lost"),
        (ConnectionLost("what happened", sent=False, fresh=True), NOT_SENT, Sample.IGNORE, "outage"),
        (ReplyUnreadable("what happened"), UNCERTAIN, Sample.IGNORE, "unreadable_reply"),
        (TransportError("what happened", sent=True), UNCERTAIN, Sample.IGNORE, "unreadable_reply"),
        (TransportError("what happened", sent=False), NOT_SENT, Sample.IGNORE, "outage"),
    ],
)
def test_what_no_answer_means(error: TransportError, verdict: Verdict, sample: Sample, kind: str) -> None:
    """Only what certainly did not leave us whole was not sent; a timeout and the loss of a fresh connection cut."""
    assert failure(error) == (verdict, sample, kind)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999", 999999999.0),
        (format_datetime(datetime.fromtimestamp(WALL + 90, UTC), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(WALL - 90, UTC), usegmt=True), 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 0.0),
        ("Tue, 14 Nov 2023 22:13:21 GMT", 1.0),
        *((garbage, None) for garbage in ("", "-1", "1.5", "1e3", "soon", "9" * 10, "\u0661", "10 s", "Tue, GMT")),
        ("Tue, 99 Nov 2023 22:13:20 GMT", None),
        ("Tue, 14 Nov 99999 22:13:20 GMT", None),
        ("Tue, 14 Nov 2023 22:13:20", None),
    ],
)
def test_how_long_the_server_asks_to_wait(value: str, seconds: float | None) -> None:
    """Seconds or a date; the past is 0, and anything else says nothing."""
    assert retry_after({"Retry-After": value}, WALL) == seconds


def test_no_header_asks_for_no_wait() -> None:
    """Without the header there is nothing to wait for."""
    assert retry_after({}, WALL) is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_throttled_attempt_knows_how_long(status: int) -> None:
    """The wait is part of the judgement."""
    assert judge(status, b"", {"Retry-After": "30"}).retry_after == 30.0


@quickly
@given(value=st.text() | st.from_regex(re.compile(r"[A-Za-z]{1,4}, [ -~]{0,30} ?GMT")))
def test_a_garbled_wait_never_raises(value: str) -> None:
    """Whatever the header holds, it is a number of seconds, at least 0, or nothing."""
    found = retry_after({"Retry-After": value}, WALL)
    assert found is None or found >= 0


@quickly
@given(status=st.integers(100, 999), body=st.binary(max_size=100) | st.text(max_size=50).map(str.encode))
def test_any_answer_has_a_meaning(status: int, body: bytes) -> None:
    """No status and no bytes raise, and none of them is a success."""
    for content in (body, b"<html>" + body, fault(SOAP_11, "Server", "x").replace(b"soap:Server", body)):
        found = judge(status, content, {"Content-Type": "x", "Location": "\ud800", "Retry-After": "x"})
        assert found.verdict is not ACCEPTED
        assert found.problem is not None
        assert len(found.problem.message.encode().splitlines()) == 1
