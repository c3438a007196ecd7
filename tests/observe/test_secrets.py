"""No password, session key or text of a record gets where it does not belong, whatever is switched on."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import PATIENCE_S, Program, lines, record
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


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    started = Program(tmp_path)
    yield started
    started.close()


@pytest.fixture
def service() -> Iterator[Raw]:
    with Background() as background, background.holding(raw_server(Moody())) as raw:
        yield raw


def fetch(url: str) -> bytes:
    """A page, its head included."""
    try:
        with urllib.request.urlopen(url) as answer:
            return bytes(answer.headers) + bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return bytes(error.headers) + error.read()


@pytest.mark.parametrize(("login", "style"), [("password", "json"), ("session", "text")])
def test_nothing_tells_a_secret(
    program: Program, service: Raw, tmp_path_factory: pytest.TempPathFactory, login: str, style: str
) -> None:
    """Every file, stream and page of a run that logs all it can, and what its ledger tells later."""
    folder, kept = program.directory, tmp_path_factory.mktemp("secrets")
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
        place = ""
        while not place:
            place = log.readline().decode().partition("live page at ")[2].partition("/, ")[0]
    while json.loads(fetch(f"{place}/status").partition(b"\n\n")[2])["records"] < 41:
        pass
    pages = [fetch(place + page) for page in PAGES]
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 4, (folder / "log").read_text()
    later = (("results", "ledger"), ("status", "ledger", "--json"), ("report", "ledger", "-o", "later"))
    told = program.run_each((arguments, b"") for arguments in later)
    assert "retry_scheduled" in (folder / "log").read_text()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files.keys() >= {"log", "ledger", "results", "rejects", "summary", "report.html", "run.prom", "later"}
    everything = [*files.values(), *pages, *(part for done in (shown, *told) for part in (done.out, done.err.encode()))]
    for written in everything:
        assert PASSWORD.encode() not in written
        assert KEY.encode() not in written
    assert TEXT in files["rejects"].decode(), "where records belong, they are"
    for written in (files["log"], files["run.prom"], pages[1], shown.out):
        assert b"Envelope" not in written
        assert TEXT.encode() not in written
