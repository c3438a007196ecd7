"""No password, session key or text of a record gets where it does not belong, whatever is switched on."""

from __future__ import annotations

import asyncio
import html
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.program import PATIENCE_S, Program, lines, read_lines, record
from tests.e2e.servers import Background, Raw, Request, http, logged_in, raw_server, saved

PASSWORD, KEY, TEXT = "p4ssw0rd-c0ffee", "k3y-0ddba11", "text-of-a-record"
FAULT = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:{}</faultcode>'
    "<faultstring>{}</faultstring></s:Fault></s:Body></s:Envelope>"
)
BAD = {
    "1": ("Server", "Deadlock victim"),
    "2": ("Client", "Input string was not right."),
    "3": ("Server", "Object reference not set."),
    "4": ("Client", "The session has expired."),
}
"""Faults by the last digit of a record; each record of it gets one, and is taken the next time."""
ECHOED = "k3y&0ddba11/<z> x"
"""A session key that markup and addresses cannot write as it is."""
PAGES = ("/", "/metrics", "/healthz", "/readyz", "/status", "/view.json", "/nowhere")


class Moody:
    """Answers badly once to most records, and ends its sessions."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        name = request.source_id
        if b"AuthenticateWebSafe" in request.body:
            assert PASSWORD.encode() in request.body
            writer.write(http("200 OK", logged_in(KEY)))
            return
        assert f"VeetroSession: {KEY}" in request.head
        if name in self._met or name[-1] not in "12345":
            writer.write(http("200 OK", saved(request)))
            return
        self._met.add(name)
        if name[-1] == "5":
            writer.close()
            return
        writer.write(http("500 Internal Server Error", FAULT.format(*BAD[name[-1]]).encode()))


class Echo:
    """Answers with the secrets that it was sent: in faults, pages, redirects, status lines, and in the records."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        login, name, key = b"AuthenticateWebSafe" in request.body, request.source_id, html.escape(ECHOED)
        if not login:
            assert f"VeetroSession: {ECHOED}" in request.head
        first = (name or "login") not in self._met
        self._met.add(name or "login")
        if login:
            writer.write(_fault("Server", f"busy with {PASSWORD}") if first else http("200 OK", logged_in(key)))
        elif first and name[-1] in "12345678":
            writer.write(_echo(name[-1], key))
            if name[-1] == "5":
                writer.close()
        else:
            writer.write(http("200 OK", saved(request).replace(TEXT.encode(), key.encode())))


def _fault(code: str, text: str) -> bytes:
    return http("500 Internal Server Error", FAULT.format(code, text).encode())


def _echo(kind: str, key: str) -> bytes:
    page = f"<html><title>no {key}</title></html>".encode()
    return {
        "1": _fault("Client", f"not with {key}, nor with {PASSWORD}"),
        "2": _fault("Client", "x" * 490 + key),
        "3": http("400 Bad Request", page, kind="text/html"),
        "4": http("302 Found", b"", f"Location: /go/{urllib.parse.quote(ECHOED, safe='')}"),
        "5": f"HTTP/1.1 what {ECHOED}\r\n\r\n".encode(),
        "6": _fault(f"Server.{key}", ""),
        "7": http("503 Busy", page, "Retry-After: 0", kind="text/html"),
        "8": _fault("Client", f"The session {key} has expired."),
    }[kind]


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as made:
        yield made


def fetch(url: str) -> bytes:
    """A page, its head included."""
    try:
        with urllib.request.urlopen(url) as answer:
            return bytes(answer.headers) + bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return bytes(error.headers) + error.read()


@dataclass(frozen=True)
class Written:
    """All that a run has written: its files, the pages it served, and what was printed besides."""

    files: dict[str, bytes]
    pages: list[bytes]
    printed: list[bytes]

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """Each with its name."""
        yield from self.files.items()
        yield from zip(PAGES, self.pages, strict=True)
        yield from (("printed", text) for text in self.printed)


def run_watched(program: Program, service: Raw, secret: Sequence[str], style: str, given: bytes) -> Written:
    """A run that logs, shows and writes all it can, and what its ledger tells later; it ends with exit code 4."""
    folder = program.directory
    command = (
        *("--endpoint", service.url, *secret, f"--log-format={style}", "--log-level=debug", "--progress=plain"),
        *("--ledger=ledger", "--results=results", "--rejects=rejects", "--summary=summary", "--report=report.html"),
        *("--metrics-file=run.prom", "--metrics-port=0"),
    )
    shown = program.run(*command, "--show-config")
    with (folder / "log").open("wb") as log:
        process = program.start(*command, stderr=log)
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.flush()
    with (folder / "log").open("rb") as log:
        place, line = "", b""
        while not place:
            line += log.readline()  # it may be in the midst of being written
            found = re.search(rb"http://127[^/]*", line) if line.endswith(b"\n") else None
            place = found[0].decode() if found and found[0].decode() not in service.url else ""
            line = b"" if line.endswith(b"\n") else line
    while json.loads(fetch(f"{place}/status").partition(b"\n\n")[2])["records"] < given.count(b"\n"):
        pass
    pages = [fetch(place + page) for page in PAGES]
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 4, (folder / "log").read_text()
    later = (("results", "ledger"), ("status", "ledger", "--json"), ("report", "ledger", "-o", "later"))
    told = program.run_each((arguments, b"") for arguments in later)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files.keys() >= {"log", "ledger", "results", "rejects", "summary", "report.html", "run.prom", "later"}
    return Written(files, pages, [part for done in (shown, *told) for part in (done.out, done.err.encode())])


@pytest.mark.parametrize(("login", "style"), [("password", "json"), ("session", "text")])
def test_nothing_tells_a_secret(
    program: Program, background: Background, tmp_path_factory: pytest.TempPathFactory, login: str, style: str
) -> None:
    """Every file, stream and page of a run that logs all it can, and what its ledger tells later."""
    kept = tmp_path_factory.mktemp("secrets")
    (kept / "password").write_text(PASSWORD)
    (kept / "session").write_text(KEY)
    secret = {
        "password": ("--email=me@acme.com", f"--password-file={kept / 'password'}"),
        "session": (f"--session-file={kept / 'session'}",),
    }[login]
    given = lines(
        *(record(n, ImportSyncRecordID=n % 3, Source=TEXT) for n in range(1, 41)),
        record(41, Source=TEXT, CurrentStatus="Done"),
    )
    with background.holding(raw_server(Moody())) as service:
        written = run_watched(program, service, secret, style, given)
    assert b"retry_scheduled" in written.files["log"]
    for name, text in written.everything():
        assert PASSWORD.encode() not in text, name
        assert KEY.encode() not in text, name
    assert TEXT in written.files["rejects"].decode(), "where records belong, they are"
    for text in (written.files["log"], written.files["run.prom"], written.pages[1], written.printed[0]):
        assert b"Envelope" not in text
        assert TEXT.encode() not in text


def test_what_the_service_echoes_is_masked(
    program: Program, background: Background, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A service that puts password and session key into its texts has them told nowhere; only data passes as it is."""
    password = tmp_path_factory.mktemp("secrets") / "password"
    password.write_text(PASSWORD)
    given = lines(*(record(n, ImportSyncRecordID=0 if n in (4, 5, 6) else n, Source=TEXT) for n in range(1, 10)))
    with background.holding(raw_server(Echo())) as service:
        secret = ("--email=me@acme.com", f"--password-file={password}")
        written = run_watched(program, service, secret, "json", given)
    results = read_lines(written.files["results"])
    assert [result["outcome"] for result in results] == [
        *("rejected", "rejected", "rejected", "in_doubt", "in_doubt", "rejected"),
        *("delivered", "delivered", "delivered"),
    ]
    errors = [result["error"] for result in results[:6]]
    assert errors[0]["message"] == "not with ***, nor with ***"
    assert errors[1]["message"] == "x" * 490 + "***"
    assert [error["message"].count("***") for error in errors[2:]] == [1, 1, 0, 1]
    assert errors[5]["fault_code"] == "Server.***"
    assert {result["result"]["Source"] for result in results[6:]} == {ECHOED}, "an answer's data is passed on"
    assert b"busy with ***" in written.files["log"]
    assert b"The session *** has expired." in written.files["summary"]
    for name, text in written.everything():
        # Half of the key is as bad as the whole; in the answers' data it stands as it came.
        told = b"\n".join(line for line in text.splitlines() if b'"outcome":"delivered"' not in line)
        assert not re.search(rb"0ddba11|p4ssw0rd", told), name
