"""Every way in which a connection or an answer can go wrong, and what each means: one table."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from functools import lru_cache
from typing import Final

from batcher.core.verdict import Verdict as V  # noqa: N817 - one letter keeps the table a table
from batcher.sandbox.answers import Reply
from batcher.sandbox.fields import INDEX
from batcher.sandbox.replies import mangled
from tests.flow.conftest import OK
from tests.flow.mischief import (
    Call,
    Play,
    Way,
    answer,
    changed,
    chunked,
    dribble,
    empty,
    fault,
    for_ever,
    half_close,
    reset,
    reset_within,
    sandbox,
    send,
    send_and_end,
    send_and_wait,
    status,
    wire,
)

UNREAD: Final = "unreadable_reply"
HTTP: Final = "http_error"
SERVER: Final = "server_fault"
CLIENT: Final = "client_fault"

OPEN: Final = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEBIBYTE: Final = bytes(2**20)
HEADERS: Final = b"".join(b"X-%d: x\r\n" % number for number in range(400))
HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
GZIP: Final = ("Content-Encoding", "gzip")


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """Sixty-four MiB in sixty-four KiB of gzip."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(packer.compress(MEBIBYTE) for _ in range(64)) + packer.flush()


def other_record(body: bytes) -> bytes:
    """The answer with another record's key."""
    start, found, rest = body.partition(b"<SourceID>")
    return start + found + b"another's" + rest[rest.index(b"</SourceID>") :]


def named(name: bytes, body: bytes) -> bytes:
    """The answer with bytes of the service's own choice as SourceName."""
    return body.replace(b"<ApplyAction>", b"<SourceName>" + name + b"</SourceName><ApplyAction>")


def entities(call: Call) -> Reply:
    """An answer whose entities expand to gigabytes."""
    return mangled("entities", call.dialect, ("1",) * len(INDEX), gzip=True)


def in_utf_16(body: bytes) -> bytes:
    """The answer in another encoding, and saying so."""
    return body.decode().replace("utf-8", "utf-16").encode("utf-16")


def _lost(what: str, play: Play, *, applied: bool = True) -> Way:
    return Way(what, V.UNCERTAIN, "connection_lost", play, applied)


def _late(what: str, play: Play, *, applied: bool = True) -> Way:
    return Way(what, V.UNCERTAIN, "timeout", play, applied)


def _unread(what: str, play: Play, *, applied: bool = True) -> Way:
    return Way(what, V.UNCERTAIN, UNREAD, play, applied)


def _good(what: str, play: Play) -> Way:
    return Way(what, V.ACCEPTED, None, play, applied=True)


def _page(code: int, verdict: V, kind: str = HTTP, *headers: tuple[str, str], more: str = "") -> Way:
    return Way(f"{code}{more}", verdict, kind, status(code, *headers))


CONNECTION: Final = (
    _lost("reset", reset, applied=False),
    _lost("reset, after it was applied", reset),
    _lost("closed without an answer", send_and_end(lambda _: b""), applied=False),
    _lost("closed without an answer, after it was applied", send_and_end(lambda _: b"")),
    _lost("half-closed", half_close),
    _lost("closed in the status line", send_and_end(lambda _: b"HTTP/1.1 2")),
    _lost("closed in the headers", send_and_end(lambda c: wire(c.good)[:60])),
    _lost("closed in the body", send_and_end(lambda c: wire(c.good)[:-50])),
    _lost("closed in the chunks", send_and_end(lambda c: CHUNKED + chunked(c.good.body, b""))),
    _lost("reset in a body of no stated length", reset_within),
    _unread("closed in a body of no stated length", send_and_end(lambda c: OPEN + c.good.body[:-50])),
)
SILENCE: Final = (
    _late("no answer", send_and_wait(lambda _: b""), applied=False),
    _late("no answer, after it was applied", send_and_wait(lambda _: b"")),
    _late("silence in the headers", send_and_wait(lambda c: wire(c.good)[:60])),
    _late("silence in the body", send_and_wait(lambda c: wire(c.good)[:-50])),
    _late("a body that drips without end", for_ever(OPEN, b" ", 0.1)),
    _late("103 again and again", for_ever(b"", HINTS, 0.1), applied=False),
)
NO_HTTP: Final = (
    _unread("bytes that are no HTTP", send(lambda _: b"\x16\x03\x01\x02\0 what?\r\n\r\n"), applied=False),
    _unread("a body without a head", send_and_end(lambda c: c.good.body)),
    _unread("broken chunks", send(lambda c: CHUNKED + chunked(c.good.body, b"x\r\n"))),
    _unread("two lengths that differ", send(lambda c: wire(c.good, "Content-Length: 5"))),
    _unread("a header without end", for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096)),
    _unread("headers without end", for_ever(b"HTTP/1.1 200 OK\r\n", HEADERS)),
    _unread("a length of a gigabyte", send_and_wait(lambda c: wire(c.good, length=2**30))),
    _unread("a body without end", for_ever(OPEN, MEBIBYTE)),
    _unread("chunks without end", for_ever(CHUNKED, b"100000\r\n" + MEBIBYTE + b"\r\n")),
)
CONTENT: Final = (
    _good("gzip, whole", changed(gzip.compress, GZIP)),
    _unread("gzip, cut", changed(lambda b: gzip.compress(b)[:-9], GZIP)),
    _unread("gzip, damaged", changed(lambda b: b"\x1f\x8b\x08" + b, GZIP)),
    _unread("gzip bomb", changed(lambda _: bomb(), GZIP)),
    _unread("a coding that was not offered", changed(bytes, ("Content-Encoding", "br"))),
    _unread("entity bomb", answer(entities)),
    _unread("bytes that are not UTF-8", changed(lambda b: named(b"Ren\xe9", b))),
    _good("UTF-16 that says so", changed(in_utf_16)),
    _good("a byte order mark", changed(lambda b: b"\xef\xbb\xbf" + b)),
    _good("a forbidden character in it", changed(lambda b: named(b"a&#xB;b", b))),
    _good("a good answer as text/html", answer(lambda c: replace(c.good, content_type="text/html"))),
    _good("a good answer without content type", answer(lambda c: replace(c.good, content_type=""))),
    _good("a result at status 500", answer(lambda c: replace(c.good, status=500))),
    Way("another record's result", V.ACCEPTED, None, changed(other_record), applied=True, mismatch=True),
    _unread("an answer cut in its XML", changed(lambda b: b[:-30])),
    _unread("a response without its result", sandbox("no_result"), applied=False),
    _unread("a result of another namespace", changed(lambda b: b.replace(b"schema.veetro", b"x"))),
    _unread("200 and nothing", empty(200)),
    _unread("202 and nothing", empty(202)),
    _unread("204", send(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n")),
    _unread("200 and plain text", answer(lambda _: Reply(200, "text/plain", b"OK"))),
    _unread("200 and JSON", answer(lambda _: Reply(200, "application/json", b"{}"))),
    _unread("200 and a page", sandbox("maintenance"), applied=False),
    Way("200 and a page that asks for a login", V.NO_SESSION, HTTP, sandbox("login_page")),
)
STATUSES: Final = (
    _unread("101", send(lambda _: b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), applied=False),
    _page(301, V.UNCERTAIN, UNREAD, ("Location", "https://elsewhere/"), more=" to elsewhere"),
    _page(302, V.NO_SESSION, HTTP, ("Location", "/login?ReturnUrl=%2fxml"), more=" to a login"),
    _page(307, V.UNCERTAIN, UNREAD, ("Location", "/xml"), more=" to itself"),
    Way("400 and nothing", V.REFUSED, HTTP, empty(400)),
    _page(401, V.NO_SESSION),
    _page(402, V.UNCERTAIN, UNREAD),
    _page(403, V.NO_SESSION),
    *(_page(code, V.MISDIRECTED) for code in (404, 405, 407)),
    _page(408, V.UNCERTAIN, UNREAD),
    _page(410, V.MISDIRECTED),
    _page(413, V.REFUSED),
    _page(415, V.MISDIRECTED),
    _page(418, V.UNCERTAIN, UNREAD),
    _page(429, V.THROTTLED),
    _page(429, V.THROTTLED, HTTP, ("Retry-After", "1"), more=" with Retry-After"),
    _page(429, V.THROTTLED, HTTP, ("Retry-After", "soon"), more=" with a Retry-After that says nothing"),
    _unread("500 and nothing", empty(500), applied=False),
    _page(500, V.UNCERTAIN, UNREAD, more=" and a page"),
    _unread("500 and a page, after it was applied", sandbox("error_page")),
    _page(501, V.UNCERTAIN, UNREAD),
    _page(502, V.UNCERTAIN, "gateway"),
    Way("502, after it was applied", V.UNCERTAIN, "gateway", status(502), applied=True),
    _page(503, V.THROTTLED),
    _page(503, V.THROTTLED, HTTP, ("Retry-After", "0"), more=" with Retry-After"),
    _page(504, V.UNCERTAIN, "gateway"),
    Way("504, after it was applied", V.UNCERTAIN, "gateway", sandbox("gateway_applied"), applied=True),
    *(_page(code, V.UNCERTAIN, UNREAD) for code in (505, 520, 599, 999)),
)
FAULTS: Final = (
    Way("Client fault", V.REFUSED, CLIENT, sandbox("client")),
    Way("Client fault at status 200", V.REFUSED, CLIENT, fault("Client", "Input string was not correct", 200)),
    Way("Server fault", V.FAULTED, SERVER, sandbox("server")),
    Way("Server fault at status 200", V.FAULTED, SERVER, fault("Server", "Object reference", 200)),
    Way("Server fault, after it was applied", V.FAULTED, SERVER, sandbox("late_server"), applied=True),
    Way("Server fault that speaks of a deadlock", V.FAULTED, SERVER, sandbox("deadlock"), transient=True),
    Way("Server fault at status 503", V.FAULTED, SERVER, fault("Server", "Not now", 503), transient=True),
    Way("Server fault that speaks of the session", V.NO_SESSION, SERVER, fault("Server", "Your session has expired")),
    Way("a fault of an unknown code", V.FAULTED, SERVER, fault("Weather", "It rains")),
    Way("a fault without code and text", V.FAULTED, SERVER, fault("", "")),
    Way("VersionMismatch fault", V.MISDIRECTED, SERVER, fault("VersionMismatch", "Possible SOAP version mismatch")),
    Way("MustUnderstand fault", V.MISDIRECTED, SERVER, fault("MustUnderstand", "SOAP header x was not understood.")),
    Way(
        "SOAPAction not recognised",
        V.MISDIRECTED,
        CLIENT,
        fault("Client", "Server did not recognize the value of HTTP Header SOAPAction: x."),
    ),
)
WELL: Final = (
    _good("a good answer in small pieces", dribble),
    _good("a good answer in chunks", send(lambda c: CHUNKED + chunked(c.good.body))),
    _good("a good answer to the end of the connection", send_and_end(lambda c: OPEN + c.good.body)),
    _good("100 and 103 before a good answer", send(lambda c: b"HTTP/1.1 100 C\r\n\r\n" + HINTS + wire(c.good))),
    _good("a good answer and a second one behind it", send(lambda c: wire(c.good) + OK)),
    _good("a good answer and an empty line behind it", send(lambda c: wire(c.good) + b"\r\n")),
    _unread("a good answer and other bytes behind it", send(lambda c: wire(c.good) + b"\0what?")),
    _good("a good answer, then closed without a word", send_and_end(lambda c: wire(c.good))),
)
SLOW: Final = SILENCE
"""Those that end by our own time limit."""
WAYS: Final = (*CONNECTION, *SILENCE, *NO_HTTP, *CONTENT, *STATUSES, *FAULTS, *WELL)
