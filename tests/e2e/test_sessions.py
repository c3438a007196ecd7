"""Logins and session keys: one for all, renewed when lost, and secret everywhere."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import StartRaw, StartSandbox
from tests.e2e.program import Program, lines, many, record, wait_for_line
from tests.e2e.servers import Request, http, logged_in, saved

EMAIL, PASSWORD, KEY = "ann@example.org", "pa&ss <wörd>", "key-7f3a91"
LOST = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Server</faultcode>'
    b"<faultstring>Your session has expired.</faultstring></s:Fault></s:Body></s:Envelope>"
)


@pytest.fixture
def secret(program: Program) -> Path:
    """A file that holds the password, as an editor leaves it."""
    path = program.directory / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


def test_one_login_for_all(program: Program, start_sandbox: StartSandbox, secret: Path) -> None:
    """All connections share one login, whose password comes from a file or the environment."""
    sandbox = start_sandbox(login=(EMAIL, PASSWORD), latency=0.01)
    options = ("--endpoint", sandbox.url)
    environ = {"VEETRO_BATCH_EMAIL": EMAIL, "VEETRO_BATCH_PASSWORD": PASSWORD}
    begun = [
        program.start(*options, "--email", EMAIL, "--password-file", secret, "--soap=1.2", given=many(100)),
        program.start(*options, given=many(100), environ=environ),
    ]
    done = [program.finish(process) for process in begun]
    assert [(run.code, run.outcomes) for run in done] == [(0, {"delivered": 100})] * 2
    assert {entry["attempts"] for run in done for entry in run.results} == {1}
    assert (sandbox.stats().logins, sandbox.stats().requests) == (2, 202)


def test_session_that_expires(program: Program, start_sandbox: StartSandbox, secret: Path) -> None:
    """However the service says that a session is over, it is renewed once for all; every record is applied once."""
    login = (EMAIL, PASSWORD)
    sandboxes = [
        start_sandbox(login=login, session_calls=40, session_loss=loss, latency=0.002)
        for loss in ("fault", "401", "redirect", "html")
    ]
    options = ("--email", EMAIL, "--password-file", secret, "--max-attempts=1", "--connections=4")
    given = many(100, ImportSyncRecordID=0)
    done = program.run_each((("--endpoint", sandbox.url, *options), given) for sandbox in sandboxes)
    for run, sandbox in zip(done, sandboxes, strict=True):
        assert (run.code, run.outcomes) == (0, {"delivered": 100})
        assert sandbox.stats().applied == {f"S-{number}": 1 for number in range(1, 101)}
        assert sandbox.stats().logins == 3


def test_refused_credentials(program: Program, start_sandbox: StartSandbox) -> None:
    """A wrong password ends the run with 7 after one login, however many connections wait for it."""
    sandbox = start_sandbox(login=(EMAIL, PASSWORD), latency=0.05)
    environ = {"VEETRO_BATCH_PASSWORD": "wrong"}
    done = program.run("--endpoint", sandbox.url, "--email", EMAIL, given=many(50), environ=environ)
    assert (done.code, done.outcomes) == (7, {"unsent": 50})
    assert (sandbox.stats().requests, sandbox.stats().applied) == (1, {})
    assert "--password-file" in done.err or "password" in done.err


def test_session_key_from_the_environment(program: Program, start_raw: StartRaw) -> None:
    """A key that somebody else got is sent with every request, and nobody logs in."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http("200 OK", saved(request)))

    raw = start_raw(answer)
    done = program.run("--endpoint", raw.url, given=many(5), environ={"VEETRO_BATCH_SESSION": KEY})
    assert done.code == 0
    assert [f"VeetroSession: {KEY}\r\n" in request.head for request in raw.requests] == [True] * 5


def test_session_file_is_read_again(program: Program, start_raw: StartRaw) -> None:
    """When the session is lost the run pauses, reads the file again, and goes on with the new key."""
    file = program.directory / "session"
    file.write_text("old\n")

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        valid = f"VeetroSession: {KEY}\r\n" in request.head
        writer.write(http("200 OK", saved(request)) if valid else http("500 Internal Server Error", LOST))

    raw = start_raw(answer)
    options = ("--endpoint", raw.url, "--session-file=session", "--max-attempts=1", "--connections=4")
    process = program.start(*options, given=many(20, ImportSyncRecordID=0))
    wait_for_line(process.stderr, "paused")
    renewed = program.directory / "renewed"
    renewed.write_text(f"{KEY}\n")
    renewed.replace(file)  # whoever reads it meanwhile reads one of them
    done = program.finish(process)
    assert (done.code, done.outcomes) == (0, {"delivered": 20})


@pytest.mark.parametrize(
    ("options", "environ", "said"),
    [
        ((), {}, "the service asks for a login, and none is given (--email, --session-file or VEETRO_BATCH_SESSION)"),
        ((), {"VEETRO_BATCH_SESSION": KEY}, "the session of VEETRO_BATCH_SESSION is lost"),
        (("--session-file=session",), {}, "the session is lost, and --session-file still holds its key"),
    ],
)
def test_session_that_stays_lost(
    program: Program, start_raw: StartRaw, options: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    """Without a new key the run ends with 7 after --max-outage, its records unsent, and says what is missing."""
    (program.directory / "session").write_text(KEY)

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http("500 Internal Server Error", LOST))

    url = start_raw(answer).url
    done = program.run("--endpoint", url, "--max-outage=0.3", *options, given=many(5), environ=environ)
    assert (done.code, done.outcomes) == (7, {"unsent": 5})
    assert said in " ".join(done.err.split())


def test_one_record_that_is_refused(program: Program, start_raw: StartRaw, secret: Path) -> None:
    """A record that is refused although others are accepted is rejected alone, after few logins."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if b"AuthenticateWebSafe" in request.body:
            writer.write(http("200 OK", logged_in(f"key-{request.number}")))
        elif request.source_id == "S-7":
            writer.write(http("401 Unauthorized", b"", kind="text/html"))
        else:
            writer.write(http("200 OK", saved(request)))

    raw = start_raw(answer)
    options = ("--email", EMAIL, "--password-file", secret, "--connections=4")
    done = program.run("--endpoint", raw.url, *options, given=many(60))
    assert (done.code, done.outcomes) == (3, {"delivered": 59, "rejected": 1})
    refused = done.results[6]
    assert (refused["outcome"], refused["error"]["kind"], refused["error"]["http_status"]) == (
        "rejected",
        "http_error",
        401,
    )
    assert sum(b"AuthenticateWebSafe" in request.body for request in raw.requests) <= 3


def read_page(url: str) -> bytes:
    """What stands there, also where that is that the run is not ready, as in a pause."""
    try:
        with urllib.request.urlopen(url) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


def test_secrets_are_nowhere(program: Program, start_sandbox: StartSandbox, secret: Path) -> None:
    """Neither password nor session key shows in results, logs at debug, summary, metrics, status or --show-config."""
    sandbox = start_sandbox(login=(EMAIL, PASSWORD), session_calls=3, faults={"server": 0.2, "reset": 0.2})
    options = ["--endpoint", sandbox.url, "--email", EMAIL, "--password-file", str(secret)]
    process = program.start(
        *options, "--log-level=debug", "--metrics-port=0", "--summary=summary", "--rejects=rejects", "--connections=2"
    )
    assert process.stdin is not None
    told = wait_for_line(process.stderr, "metrics at")
    url = told.split()[-1].removesuffix("/metrics")
    process.stdin.write(many(10))
    process.stdin.flush()
    assert process.stdout is not None
    first = process.stdout.readline()
    pages = [read_page(url + page) for page in ("/metrics", "/status", "/readyz")]
    done = program.finish(process, lines({}, record(11)))
    shown = program.run(*options, "--show-config")
    in_the_environment = program.run("--endpoint", sandbox.url, "--show-config", environ={"VEETRO_BATCH_SESSION": KEY})
    files = [(program.directory / name).read_bytes() for name in ("summary", "rejects")]
    everything = b"\n".join(
        [told.encode(), first, *pages, done.out, done.err.encode(), *files]
        + [run.out + run.err.encode() for run in (shown, in_the_environment)]
    ).decode()
    assert done.code in (0, 3, 4)
    for hidden in (PASSWORD, "wörd", "sandbox-session", KEY):
        assert hidden not in everything
    assert str(secret) in shown.out.decode()
