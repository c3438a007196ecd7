"""Sessions, capacity, the truth at /_stats, keep-alive and TLS."""

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import trustme

from batcher.sandbox import Sandbox, SandboxSettings

Envelope = Callable[..., str]
Exchange = Callable[..., Awaitable[bytes]]
Post = Callable[..., Awaitable[tuple[int, dict[str, str], str]]]

Until = Callable[[Callable[[], bool]], Awaitable[None]]

LOGIN_ACTION = '"http://schema.veetro.com/AuthenticateWebSafe"'
CREDENTIALS = ("a@example.com", "p<&")


def _login(email: str, password: str) -> str:
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<AuthenticateWebSafe xmlns="http://schema.veetro.com"><email>{email}</email><pass>{password}</pass>'
        "</AuthenticateWebSafe></s:Body></s:Envelope>"
    )


async def _session(sandbox: Sandbox, post: Post) -> str:
    status, _, text = await post(sandbox, _login("a@example.com", "p&lt;&amp;"), action=LOGIN_ACTION)
    match = re.search("<Code>Success</Code><SessionKey>(.+)</SessionKey><User><EntityID>3</EntityID>", text)
    assert status == 200
    assert match is not None
    return match[1]


async def test_calls_need_the_session_of_a_login(post: Post, envelope: Envelope) -> None:
    """Two logins both work; a wrong key or none is refused and nothing applied; a new login follows an expiry."""
    async with Sandbox(SandboxSettings(login=CREDENTIALS)) as sandbox:
        first, second = await _session(sandbox, post), await _session(sandbox, post)
        assert first != second
        for key in (first, second):
            assert (await post(sandbox, envelope(""), more=f"VeetroSession: {key}\r\n"))[0] == 200
        for more in ("", "VeetroSession: x\r\n"):
            status, _, text = await post(sandbox, envelope(""), more=more)
            assert (status, "Your session has expired. Please log in again." in text) == (500, True)
        sandbox.expire_sessions()
        assert (await post(sandbox, envelope(""), more=f"VeetroSession: {first}\r\n"))[0] == 500
        third = await _session(sandbox, post)
        assert (await post(sandbox, envelope(""), more=f"VeetroSession: {third}\r\n"))[0] == 200
        assert (sandbox.stats().applied, sandbox.stats().logins) == ({"": 3}, 3)


@pytest.mark.parametrize("credentials", [("a@example.com", "wrong"), ("b@example.com", "p&lt;&amp;"), ("", "")])
async def test_a_wrong_login_is_told_at_status_200(post: Post, credentials: tuple[str, str]) -> None:
    """Code Not_Found, no key, no fault, and it does not count as a login."""
    async with Sandbox(SandboxSettings(login=CREDENTIALS)) as sandbox:
        status, _, text = await post(sandbox, _login(*credentials), action=LOGIN_ACTION)
        assert (status, "<Code>Not_Found</Code>" in text, "SessionKey" in text) == (200, True, False)
        assert sandbox.stats().logins == 0


@pytest.mark.parametrize(
    ("loss", "status", "shows"),
    [
        (
            "fault",
            500,
            "soap:Server</faultcode><faultstring>Server was unable to process request. ---&gt; Your session",
        ),
        ("401", 401, "Unauthorized"),
        ("redirect", 302, "Object moved"),
        ("html", 200, "Please log in"),
    ],
)
async def test_what_a_lost_session_gets_can_be_chosen(
    post: Post, envelope: Envelope, loss: str, status: int, shows: str
) -> None:
    """A session ends after `session_calls` calls; the next one gets what was chosen."""
    settings = SandboxSettings(login=CREDENTIALS, session_calls=2, session_loss=loss)
    async with Sandbox(settings) as sandbox:
        more = f"VeetroSession: {await _session(sandbox, post)}\r\n"
        answers = [await post(sandbox, envelope(""), more=more) for _ in range(3)]
        assert [answer[0] for answer in answers] == [200, 200, status]
        assert shows in answers[2][2]
        assert answers[2][1].get("Location") == ("/login?ReturnUrl=%2fxml" if loss == "redirect" else None)
        assert sandbox.stats().applied == {"": 2}


async def test_stats_tell_what_was_applied(
    sandbox: Sandbox, post: Post, exchange: Exchange, envelope: Envelope
) -> None:
    """`/_stats` counts POSTs to the service and applications by SourceID, as `stats()` does."""
    for fields in ("<SourceID>A</SourceID>", "<SourceID>A</SourceID>", "<SourceID>é</SourceID>", "", "<VeetroID/>"):
        await post(sandbox, envelope(fields))
    raw = await exchange(sandbox, b"GET /_stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert json.loads(raw.partition(b"\r\n\r\n")[2]) == {
        "requests": 5, "applied": {"A": 2, "é": 1, "": 1}, "max_in_flight": 1, "logins": 0,
    }  # fmt: skip
    assert len(sandbox.records_of("A")) == 2
    assert [record["SourceID"] for record in sandbox.records] == ["A", "A", "é", None]


async def test_capacity_makes_calls_wait_and_then_turns_them_away(post: Post, envelope: Envelope, until: Until) -> None:
    """With a capacity of one and the first call hanging, eight wait and the ninth gets a 503 at once."""
    async with Sandbox(SandboxSettings(capacity=1, faults={"hang": 1.0})) as sandbox:
        calls = [asyncio.ensure_future(post(sandbox, envelope(""))) for _ in range(9)]
        await until(lambda: sandbox.stats().max_in_flight == 9)
        status, headers, text = await post(sandbox, envelope(""))
        assert (status, "Retry-After" in headers, "soap" in text) == (503, False, False)
        assert sum(call.done() for call in calls) == 0
        assert sandbox.stats().max_in_flight == 10
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_calls_with_a_latency_are_worked_on_together(envelope: Envelope) -> None:
    """Without a capacity nothing waits for its turn."""
    body = envelope("").encode()
    head = f"POST /xml HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    async with Sandbox(SandboxSettings(latency=0.3)) as sandbox:
        port = int(sandbox.url.split(":")[2].split("/")[0])
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        for _, writer in clients:  # in the same breath: the first is not to be answered before the last has come
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        for reader, writer in clients:
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 OK\r\n")
            writer.close()
        assert (sandbox.stats().max_in_flight, sandbox.stats().applied) == (10, {"": 10})


async def test_a_connection_is_kept_for_the_next_call(sandbox: Sandbox, envelope: Envelope) -> None:
    """Good answers, faults and 400s alike leave the connection open, as IIS does."""
    connector = aiohttp.TCPConnector(limit=1)
    opened = 0

    async def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(count)
    headers = {"Content-Type": "text/xml; charset=utf-8"}
    async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session:
        statuses = []
        for fields in ("", "<VeetroID/>", "<a>", ""):
            async with session.post(sandbox.url, data=envelope(fields).encode(), headers=headers) as answer:
                statuses.append(answer.status)
                await answer.read()
    assert (statuses, opened) == ([200, 500, 400, 200], 1)


async def test_a_client_may_leave_in_the_middle_of_its_request(
    sandbox: Sandbox, post: Post, envelope: Envelope, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is applied, nothing is logged, and the next client is served."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(sandbox.url.split(":")[2].split("/")[0]))
    writer.write(b"POST /xml HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 500\r\n\r\n<")
    await until(lambda: sandbox.stats().requests == 1)
    writer.close()
    await until(lambda: sandbox._state._in_flight == 0)
    assert sandbox.stats().applied == {}
    assert (await post(sandbox, envelope("")))[0] == 200
    assert caplog.records == []


async def test_http_1_0_is_answered_and_closed(sandbox: Sandbox, exchange: Exchange, envelope: Envelope) -> None:
    """Without keep-alive the connection ends behind the answer."""
    body = envelope("").encode()
    head = f"POST /xml HTTP/1.0\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    raw = await exchange(sandbox, head.encode() + body)
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw.endswith(b"</soap:Envelope>")


async def test_it_speaks_tls(envelope: Envelope) -> None:
    """With a certificate the address is https and a client that trusts its issuer is answered."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with Sandbox(ssl_context=server) as sandbox, aiohttp.ClientSession() as session:
        assert sandbox.url.startswith("https://127.0.0.1:")
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        async with session.post(sandbox.url, data=envelope("").encode(), headers=headers, ssl=client) as answer:
            assert (answer.status, sandbox.stats().applied) == (200, {"": 1})


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"capacity": 0}, "capacity must be at least 1, not 0"),
        ({"latency": -1.0}, "latency must not be negative, not -1.0"),
        ({"session_loss": "x"}, "session_loss must be one of fault, 401, redirect, html, not 'x'"),
        ({"faults": {"hung": 0.1}}, "unknown fault 'hung'; did you mean hang?"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings: dict[str, Any], hint: str) -> None:
    """The message names the setting and what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(hint)}$"):
        SandboxSettings(**settings)


async def test_an_address_is_known_once_it_listens() -> None:
    """Before that, asking for it is a mistake that is told."""
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = Sandbox().url
