"""Over the wire: how many connections there are, what is asked again and when, and which answers can be read."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import re
import socket
import time
from email.utils import formatdate

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.conftest import StartRaw, StartSandbox
from tests.e2e.program import Program, lines, many, record
from tests.e2e.servers import Answer, Background, Held, Request, http, logged_in, saved

SHAPES = ("chunked", "gzip", "dribble", "close", "old", "plain", "early")


async def odd(request: Request, writer: asyncio.StreamWriter) -> None:
    """The good answer in one of many shapes."""
    body = saved(request)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\n"
    match request.source_id:
        case "chunked":
            pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
            writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
            writer.writelines(b"%x;extension\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            writer.write(b"0\r\nTrailer: x\r\n\r\n")
        case "gzip":
            writer.write(http("200 OK", gzip.compress(body), "Content-Encoding: gzip"))
        case "dribble":
            whole = http("200 OK", body)
            for at in range(0, len(whole), 40):
                writer.write(whole[at : at + 40])
                await writer.drain()
                await asyncio.sleep(0)
        case "close":
            writer.write(head + b"\r\n" + body)
            writer.close()
        case "old":
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n" + body)
            writer.close()
        case "early":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" + http("200 OK", body))
        case _:
            writer.write(http("200 OK", body, "Connection: close"))
            writer.close()


def test_answers_of_every_shape(program: Program, start_raw: StartRaw) -> None:
    """Chunked, compressed, dribbling, close-delimited and HTTP/1.0 answers are read whole at the first attempt."""
    given = lines(*(record(number, SourceID=shape, SourceName="ä" * 200) for number, shape in enumerate(SHAPES * 3)))
    done = program.run("--endpoint", start_raw(odd).url, "--connections=4", given=given)
    assert (done.code, done.outcomes) == (0, {"delivered": len(SHAPES) * 3})
    for entry in done.results:
        assert (entry["attempts"], entry["result"]["SourceName"]) == (1, "ä" * 200)
        assert entry["key"] == entry["result"]["SourceID"]


def test_requests_as_the_service_wants_them(program: Program, start_raw: StartRaw) -> None:
    """Content type and SOAPAction are to the letter; nothing is compressed, expected, or kept in a cookie."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http("200 OK", saved(request), "Set-Cookie: ASP.NET_SessionId=1; path=/"))

    servers = {soap: start_raw(answer) for soap in ("1.1", "1.2")}
    program.run_each(
        (("--endpoint", raw.url, "--soap", soap, "--connections=1"), many(2)) for soap, raw in servers.items()
    )
    for soap, raw in servers.items():
        assert len(raw.requests) == 2
        for request in raw.requests:
            first, *rest = request.head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
            assert first == "POST /xml HTTP/1.1"
            assert headers["content-length"] == str(len(request.body))
            assert not {"cookie", "expect", "content-encoding", "transfer-encoding", "veetrosession"} & set(headers)
            if soap == "1.1":
                assert headers["content-type"] == "text/xml; charset=utf-8"
                assert headers["soapaction"] == '"http://schema.veetro.com/SetOutlookSyncRecord"'
            else:
                assert headers["content-type"].startswith("application/soap+xml; charset=utf-8")


@pytest.mark.parametrize("connections", [1, 3])
def test_connections_are_never_exceeded(program: Program, start_raw: StartRaw, connections: int) -> None:
    """However many records wait, and with sessions that end, there are never more connections than allowed."""
    calls = itertools.count(1)

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.001)
        if b"AuthenticateWebSafe" in request.body:
            writer.write(http("200 OK", logged_in(f"key-{request.number}")))
        elif next(calls) % 29 == 0:
            writer.write(http("401 Unauthorized", b"", kind="text/html"))
        elif request.number % 31 == 0:
            writer.close()
        else:
            writer.write(http("200 OK", saved(request)))

    raw = start_raw(answer)
    options = ("--email=ann", f"--connections={connections}", "--max-attempts=20")
    done = program.run("--endpoint", raw.url, *options, given=many(100), environ={"VEETRO_BATCH_PASSWORD": "secret"})
    assert done.outcomes == {"delivered": 100}
    assert raw.most_open == connections


def test_one_connection_is_kept(program: Program, start_raw: StartRaw) -> None:
    """A connection is used again and again: 50 records, one connection."""
    opened: set[int] = set()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        opened.add(writer.get_extra_info("peername")[1])
        writer.write(http("200 OK", saved(request)))

    done = program.run("--endpoint", start_raw(answer).url, "--connections=1", given=many(50))
    assert (done.code, len(opened)) == (0, 1)


def test_retry_after(program: Program, start_raw: StartRaw) -> None:
    """Retry-After, in seconds or as a date, pauses all sending until then, and costs no attempt."""

    def once(form: str, instants: list[float]) -> Answer:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            instants.append(time.time())
            if request.number == 1:
                wait = "1" if form == "seconds" else formatdate(int(time.time()) + 2, usegmt=True)
                writer.write(http("503 Service Unavailable", b"", f"Retry-After: {wait}", kind="text/html"))
            else:
                writer.write(http("200 OK", saved(request)))

        return answer

    instants: dict[str, list[float]] = {"seconds": [], "date": []}
    servers = [start_raw(once(form, seen)) for form, seen in instants.items()]
    options = ("--concurrency=1", "--max-attempts=1", "--progress=off")
    given = many(3, ImportSyncRecordID=0)
    for done in program.run_each((("--endpoint", raw.url, *options), given) for raw in servers):
        assert (done.code, done.outcomes) == (0, {"delivered": 3})
        assert [entry["attempts"] for entry in done.results] == [2, 1, 1]
    for seen in instants.values():
        assert seen[1] - seen[0] > 0.9


def test_faults_that_pass(program: Program, start_sandbox: StartSandbox) -> None:
    """A deadlock is tried again also for new records, a fault that may have been saved is not, unless it is safe."""
    sandbox = start_sandbox(faults={"deadlock": 0.3})
    broken = start_sandbox(faults={"late_server": 1.0})
    passing, new, known = program.run_each(
        [
            (("--endpoint", sandbox.url, "--max-attempts=99"), many(20, ImportSyncRecordID=0)),
            (("--endpoint", broken.url), many(3, ImportSyncRecordID=0)),
            (("--endpoint", broken.url, "--max-attempts=2"), many(3)),
        ]
    )
    assert (passing.code, passing.outcomes) == (0, {"delivered": 20})
    assert set(sandbox.stats().applied.values()) == {1}
    assert (new.code, [entry["attempts"] for entry in new.results]) == (3, [1, 1, 1])
    assert {entry["error"]["kind"] for entry in new.results} == {"server_fault"}
    assert (known.code, [entry["attempts"] for entry in known.results]) == (3, [2, 2, 2])


def test_never_twice(program: Program, start_sandbox: StartSandbox) -> None:
    """Whatever goes wrong on the way, no new record is applied twice, and what is said to be delivered was applied."""
    faults = {"reset": 0.1, "reset_applied": 0.1, "cut": 0.1, "gateway_applied": 0.1, "throttle": 0.1, "deadlock": 0.1}
    sandbox = start_sandbox(faults=faults)
    done = program.run("--endpoint", sandbox.url, given=many(40, ImportSyncRecordID=0))
    applied = sandbox.stats().applied
    assert done.code == 4
    assert set(applied.values()) == {1}
    assert set(done.outcomes) == {"delivered", "in_doubt"}
    assert {entry["key"] for entry in done.results if entry["outcome"] == "delivered"} <= applied.keys()
    kinds = {entry["error"]["kind"] for entry in done.results if entry["outcome"] == "in_doubt"}
    assert kinds <= {"connection_lost", "unreadable_reply", "gateway"}
    assert len(kinds) > 1


def test_in_doubt(program: Program, start_raw: StartRaw) -> None:
    """--in-doubt hold sends nothing again, resend everything."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        again = request.number > 1
        writer.write(http("200 OK", saved(request)) if again else http("502 Bad Gateway", b"", kind="text/html"))

    servers = start_raw(answer), start_raw(answer)
    held, resent = program.run_each(
        [
            (("--endpoint", servers[0].url, "--in-doubt=hold"), lines(record(1))),
            (("--endpoint", servers[1].url, "--in-doubt=resend"), lines(record(1, ImportSyncRecordID=0))),
        ]
    )
    assert [(entry["outcome"], entry["attempts"]) for entry in held.results] == [("in_doubt", 1)]
    assert [(entry["outcome"], entry["attempts"]) for entry in resent.results] == [("delivered", 2)]


def test_timeouts(program: Program, start_raw: StartRaw, background: Background) -> None:
    """No answer in time leaves a new record in doubt, no connection in time leaves it unsent."""
    raw = start_raw(Held(background))
    with socket.socket() as full:
        # Once its backlog is full, a socket that nobody accepts from answers no further connection.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/xml"
        options = [
            ("--endpoint", raw.url, "--timeout=0.3", "--connect-timeout=0.3"),
            ("--endpoint", url, "--timeout=5", "--connect-timeout=0.2", "--max-outage=0.3"),
        ]
        late, closed = program.run_each((each, many(1, ImportSyncRecordID=0)) for each in options)
        for connection in waiting:
            connection.close()
    assert (late.code, late.results[0]["outcome"], late.results[0]["error"]["kind"]) == (4, "in_doubt", "timeout")
    assert (closed.code, closed.outcomes) == (7, {"unsent": 1})


def test_mismatch(program: Program, start_raw: StartRaw) -> None:
    """An answer with another key is delivered and marked; outer blanks and line ends make no difference."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        body = re.sub(b"<SourceID>S-2</SourceID>", b"<SourceID>S-3</SourceID>", saved(request))
        writer.write(http("200 OK", body.replace(b"S-1", b" S-1\n")))

    done = program.run("--endpoint", start_raw(answer).url, given=many(2))
    assert [entry.get("mismatch") for entry in done.results] == [None, True]
    assert (done.code, done.results[1]["result"]["SourceID"]) == (0, "S-3")
    assert "1 answer carries another key" in done.err


def test_large_records(program: Program, sandbox: Sandbox) -> None:
    """An envelope just within the service's limit is delivered, one over it is invalid."""
    given = lines(record(1, ApplyValues="x" * 4_190_000), record(2, ApplyValues="x" * 4_200_000))
    done = program.run("--endpoint", sandbox.url, given=given)
    assert [entry["outcome"] for entry in done.results] == ["delivered", "invalid"]
    assert done.results[1]["error"]["kind"] == "envelope_too_large"
    assert len(done.results[0]["result"]["ApplyValues"]) == 4_190_000
