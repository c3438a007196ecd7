"""Faults on demand: what the client sees, and whether the record was applied."""

import asyncio
import gzip
import re
import zlib
from collections.abc import Awaitable, Callable

import pytest

from batcher.sandbox import FAULT_KINDS, Sandbox, SandboxSettings, parse_faults
from batcher.sandbox.faults import Draw

Envelope = Callable[..., str]
Exchange = Callable[..., Awaitable[bytes]]
Post = Callable[..., Awaitable[tuple[int, dict[str, str], str]]]
Turns = Callable[[], Awaitable[None]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]

GOOD_ANSWER = "<SourceID>S</SourceID>"
FIELDS = "<ImportSyncRecordID>7</ImportSyncRecordID><SourceID>S</SourceID>"


def _faulty(kind: str, latency: float = 0.0) -> Sandbox:
    return Sandbox(SandboxSettings(faults={kind: 1.0}, latency=latency))


def _request(body: str, more: str = "") -> bytes:
    head = "POST /xml HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml; charset=utf-8\r\n"
    return f"{head}{more}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


async def _connected(sandbox: Sandbox) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(sandbox.url.split(":")[2].split("/")[0]))


REPLIES = [
    ("server", False, 500, "soap:Server"),
    ("deadlock", False, 500, "has been chosen as the deadlock victim. Rerun the transaction."),
    ("late_server", True, 500, "soap:Server"),
    ("client", False, 500, "soap:Client"),
    ("busy", False, 503, "too busy"),
    ("throttle", False, 429, "Slow down"),
    ("gateway", False, 502, "Bad Gateway"),
    ("gateway_applied", True, 504, "Time-out"),
    ("error_page", False, 500, "Runtime Error"),
    ("maintenance", False, 200, "maintenance"),
    ("login_page", False, 200, "log in"),
    ("unauthorized", False, 401, "Unauthorized"),
    ("not_found", False, 404, "not found"),
    ("chunked", True, 200, GOOD_ANSWER),
    ("close", True, 200, GOOD_ANSWER),
    ("dribble", True, 200, GOOD_ANSWER),
    ("gzip", True, 200, GOOD_ANSWER),
    ("bomb", True, 200, GOOD_ANSWER),
    ("strange_text", True, 200, "<ErrorMsg>&#xB;</ErrorMsg>"),
    ("empty", True, 200, ""),
    ("no_result", False, 200, '<SetOutlookSyncRecordResponse xmlns="http://schema.veetro.com" />'),
    ("entities", True, 200, "<!DOCTYPE soap:Envelope [<!ENTITY e0"),
]
WITHOUT_A_REPLY = {"reset", "reset_applied", "cut", "hang", "hang_applied", "slow", "garbage"}


@pytest.mark.parametrize(("kind", "applied", "status", "shows"), REPLIES)
async def test_a_fault_with_a_reply(
    post: Post, envelope: Envelope, kind: str, *, applied: bool, status: int, shows: str
) -> None:
    """The reply is the one named, and the record is applied exactly where the kind says so."""
    async with _faulty(kind) as sandbox:
        got, headers, text = await post(sandbox, envelope(FIELDS))
        assert (got, sandbox.stats().applied) == (status, {"S": 1} if applied else {})
        assert shows in text
        assert headers.get("Retry-After") == ("1" if kind == "busy" else None)
        assert ("soap:Fault" in text) == (kind in {"server", "deadlock", "late_server", "client"})


def test_every_kind_is_tested() -> None:
    """The table above and the rest are all there are, and agree on what is applied."""
    table = {kind: applied for kind, applied, _, _ in REPLIES}
    assert set(FAULT_KINDS) == set(table) | WITHOUT_A_REPLY
    assert {kind: FAULT_KINDS[kind] for kind in table} == table


@pytest.mark.parametrize(("kind", "applied"), [("reset", {}), ("reset_applied", {"S": 1})])
async def test_a_reset_is_a_reset(exchange: Exchange, envelope: Envelope, kind: str, applied: dict[str, int]) -> None:
    """The client's socket fails; no byte of an answer comes."""
    async with _faulty(kind) as sandbox:
        with pytest.raises(ConnectionResetError):
            await exchange(sandbox, _request(envelope(FIELDS)))
        assert sandbox.stats().applied == applied


async def test_a_cut_answer_is_shorter_than_promised(exchange: Exchange, envelope: Envelope) -> None:
    """Half of the body comes, then an orderly end."""
    async with _faulty("cut") as sandbox:
        head, _, body = (await exchange(sandbox, _request(envelope(FIELDS)))).partition(b"\r\n\r\n")
        promised = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        assert (len(body), sandbox.stats().applied) == (promised // 2, {"S": 1})


async def test_garbage_is_no_http(exchange: Exchange, envelope: Envelope) -> None:
    """Other bytes than an answer's come, and nothing is applied."""
    async with _faulty("garbage") as sandbox:
        raw = await exchange(sandbox, _request(envelope(FIELDS)))
        assert (raw[:5], sandbox.stats().applied) == (b"\x16\x03\x01\x02\x00", {})


@pytest.mark.parametrize(("kind", "applied"), [("hang", {}), ("hang_applied", {"S": 1})])
async def test_a_hanging_call_ends_when_the_client_leaves(
    envelope: Envelope, until: Until, turns: Turns, kind: str, applied: dict[str, int]
) -> None:
    """It holds its place until then: with a capacity of one, the next call is worked on after the first has left."""
    async with Sandbox(SandboxSettings(faults={kind: 1.0}, capacity=1)) as sandbox:
        _, hanging = await _connected(sandbox)
        hanging.write(_request(envelope(FIELDS)))
        await until(lambda: sandbox.stats().requests == 1)
        reader, writer = await _connected(sandbox)
        writer.write(_request("<a/>", 'SOAPAction: "urn:x"\r\n'))
        answer = asyncio.create_task(reader.readuntil(b"\r\n"))
        await until(lambda: sandbox.stats().requests == 2)
        await turns()
        assert not answer.done()
        hanging.close()
        assert (await answer).startswith(b"HTTP/1.1 500")
        writer.close()
        assert sandbox.stats().applied == applied


async def test_stopping_ends_what_hangs(envelope: Envelope, until: Until) -> None:
    """`stop` does not wait for a client that waits for it."""
    sandbox = _faulty("hang")
    await sandbox.start()
    reader, writer = await _connected(sandbox)
    writer.write(_request(envelope(FIELDS)))
    await until(lambda: sandbox.stats().requests == 1)
    await sandbox.stop()
    assert await reader.read(-1) == b""
    writer.close()


async def test_a_slow_call_is_applied_when_its_time_has_passed(post: Post, envelope: Envelope, until: Until) -> None:
    """Until then, a second later, nothing is applied and nothing answered; the answer is a good one."""
    clock = asyncio.get_running_loop().time
    async with _faulty("slow") as sandbox:
        began = clock()
        call = asyncio.ensure_future(post(sandbox, envelope(FIELDS)))
        await until(lambda: sandbox.stats().requests == 1)
        assert (call.done(), sandbox.stats().applied) == (False, {})
        await until(lambda: sandbox.stats().applied == {"S": 1})
        assert clock() - began > 0.99
        status, _, text = await call
        assert (status, GOOD_ANSWER in text, sandbox.stats().applied) == (200, True, {"S": 1})


async def test_gzip_is_sent_only_where_it_is_accepted(exchange: Exchange, envelope: Envelope) -> None:
    """With `Accept-Encoding: gzip` the body is compressed."""
    async with _faulty("gzip") as sandbox:
        more = "Accept-Encoding: gzip\r\nConnection: close\r\n"
        head, _, body = (await exchange(sandbox, _request(envelope(FIELDS), more))).partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert GOOD_ANSWER.encode() in gzip.decompress(body)


async def test_a_bomb_is_a_thousand_times_its_size(exchange: Exchange, envelope: Envelope) -> None:
    """64 KiB of valid gzip become 64 MiB."""
    async with _faulty("bomb") as sandbox:
        more = "Accept-Encoding: gzip\r\nConnection: close\r\n"
        _, _, body = (await exchange(sandbox, _request(envelope(FIELDS), more))).partition(b"\r\n\r\n")
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        size = 0
        while body:
            size += len(unpacker.decompress(body, 1024 * 1024))
            body = unpacker.unconsumed_tail
        assert (size, unpacker.eof) == (64 * 1024 * 1024, True)


async def test_a_close_delimited_answer_has_no_length(exchange: Exchange, envelope: Envelope) -> None:
    """Neither a length nor chunks: the end of the connection is the end."""
    async with _faulty("close") as sandbox:
        head, _, body = (await exchange(sandbox, _request(envelope(FIELDS)))).partition(b"\r\n\r\n")
        assert (b"Content-Length" in head, b"Transfer-Encoding" in head) == (False, False)
        assert body.endswith(b"</soap:Envelope>")


async def test_what_is_refused_anyhow_meets_no_fault(post: Post, envelope: Envelope) -> None:
    """Faults hit calls of the record operation, not bad requests and not logins."""
    async with _faulty("busy") as sandbox:
        body = '<AuthenticateWebSafe xmlns="http://schema.veetro.com" />'
        login = (
            envelope("").replace("<SetOutlookSyncRecord", "<x").split("<x")[0] + body + "</soap:Body></soap:Envelope>"
        )
        statuses = [
            (await post(sandbox, "", action=None))[0],
            (await post(sandbox, envelope("<VeetroID>x</VeetroID>")))[0],
            (await post(sandbox, login, action='"http://schema.veetro.com/AuthenticateWebSafe"'))[0],
            (await post(sandbox, envelope("")))[0],
        ]
        assert statuses == [500, 500, 200, 503]


def test_the_same_seed_draws_the_same_faults() -> None:
    """Shares come out near what was asked for, each request's fault depends on seed and number alone."""
    shares = {"server": 0.1, "reset": 0.05}
    first, again, other = (Draw(shares, seed) for seed in (7, 7, 8))
    drawn = [first.next() for _ in range(10_000)]
    assert drawn == [again.next() for _ in range(10_000)]
    assert drawn != [other.next() for _ in range(10_000)]
    assert 900 < drawn.count("server") < 1100
    assert 420 < drawn.count("reset") < 580
    assert drawn.count(None) == 10_000 - drawn.count("server") - drawn.count("reset")


def test_faults_are_read_from_text() -> None:
    """Shares in per cent or as fractions, blanks allowed, nothing for nothing."""
    assert parse_faults("server=1%, reset=0.005,") == {"server": 0.01, "reset": 0.005}
    assert parse_faults("") == {}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sever=1%", "unknown fault 'sever'; did you mean server?"),
        ("server", "fault 'server' has no share; write for example server=1%"),
        ("server=x", "fault server: 'x' is no share; write for example server=1% or server=0.01"),
        ("server=101%", "fault server: a share is between 0% and 100%, not 101%"),
        ("server=nan", "fault server: a share is between 0% and 100%, not nan%"),
        ("server=60%,reset=50%", "the faults' shares add up to 110.0%; they must not exceed 100%"),
        ("server=1%,server=1%", "fault server is given twice"),
    ],
)
def test_wrong_faults_are_told(text: str, hint: str) -> None:
    """The message says what is wrong and what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(hint)}$"):
        parse_faults(text)
