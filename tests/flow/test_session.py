"""One session for all: over real connections, and over a stand-in where who asks when is the point."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from batcher.core.events import LoggedIn, Paused
from batcher.errors import ConnectFailed, SettingsError
from batcher.flow.transport import Answer
from batcher.sandbox import Sandbox, SandboxSettings
from batcher.settings import Settings
from batcher.values import Secret
from tests.flow.conftest import Peer, Serve
from tests.flow.runs import NOBODY, Run, Told, fault, http, hurry, key_in, logged_in, record, saved, until

PASSWORD = "s3cret&<>"
EXPIRED = "Your session has expired"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def settings(url: str, **changes: Any) -> Settings:
    options: dict[str, Any] = {"email": "me@example.com", "password": Secret(PASSWORD), "connections": 8}
    if "session" in changes or "session_file" in changes:
        options = {"connections": 8}
    return Settings(endpoint=url, **options | {"stop_after": None, "max_outage": 30.0} | changes)


def locked(**options: Any) -> Sandbox:
    """A sandbox that asks for a login."""
    return Sandbox(SandboxSettings(login=("me@example.com", PASSWORD), **options))


def records(count: int) -> list[dict[str, Any]]:
    return [record(number) for number in range(1, count + 1)]


async def test_many_workers_share_one_login() -> None:
    """All are ready at once, one logs in, and its key serves all."""
    async with locked() as sandbox:
        run = await Run(records(60), settings(sandbox.url))()
        assert run.outcomes == {"delivered": 60}
        assert (sandbox.stats().logins, sandbox.stats().requests) == (1, 61)
        assert run.tally.logins == {"success": 1, "refused": 0, "failed": 0}
        assert not any(isinstance(event, Paused) for event in run.events)


@pytest.mark.parametrize("loss", ["fault", "401", "redirect", "html"])
async def test_a_lost_session_is_renewed_once_for_all_and_costs_no_record_an_attempt(loss: str) -> None:
    """With two attempts to spend a record, all are delivered once; each loss costs one login."""
    async with locked(session_calls=40, session_loss=loss) as sandbox:
        run = await Run(records(100), settings(sandbox.url, max_attempts=2))()
        assert run.outcomes == {"delivered": 100}
        assert set(sandbox.stats().applied.values()) == {1}
        assert sandbox.stats().logins == 3
        run.check_truth(sandbox.stats().applied)


@pytest.mark.parametrize(
    "answer", [Answer(401, {}, b""), fault("No permission to save this record")], ids=["401", "fault"]
)
async def test_a_record_that_is_always_refused_is_rejected_for_itself_with_at_most_one_more_login(
    answer: Answer,
) -> None:
    """One poison record in the middle, one as the very last: neither stops the run nor logs in again and again."""
    for poison in ("S-20", "S-60"):
        logins: list[str] = []

        async def say(
            body: bytes, headers: Mapping[str, str], poison: str = poison, logins: list[str] = logins
        ) -> Answer:
            await asyncio.sleep(0)
            key = key_in(body)
            if not key:
                logins.append(key)
                return logged_in(f"key-{len(logins)}")
            assert headers["VeetroSession"] == f"key-{len(logins)}"
            return answer if key == poison else saved(body)

        run = await Run(records(60), settings(NOBODY), told=Told(say))()
        assert run.outcomes == {"delivered": 59, "rejected": 1}
        assert [result.key for result in run.results if result.problem] == [poison]
        assert len(logins) <= 2
        assert run.exit_codes == []


async def test_refused_credentials_end_the_run_after_one_login_and_consume_nothing() -> None:
    """Asking again with a wrong password locks accounts, so workers that waited for the login do not repeat it."""
    async with locked() as sandbox:
        run = await Run(records(60), settings(sandbox.url, password=Secret("wrong")))()
        assert run.exit_codes == [7]
        assert "Not_Found" in run.pipeline.endings[0].reason
        assert set(run.outcomes) == {"unsent"}
        assert {result.attempts for result in run.results} == {0}
        assert {result.problem and result.problem.kind for result in run.results} == {"outage"}
        assert (sandbox.stats().requests, sandbox.stats().applied) == (1, {})
        assert [event for event in run.events if isinstance(event, LoggedIn)] == [LoggedIn("refused", "Not_Found")]
        assert not any(isinstance(event, Paused) for event in run.events)


async def test_a_login_that_is_refused_in_the_middle_of_a_run_ends_it_and_what_was_done_stays_done() -> None:
    """The password was changed meanwhile: one refused login, the rest is unsent, nothing is doubtful."""

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        await asyncio.sleep(0)
        if not key_in(body):
            return logged_in("key") if told.sent.count("") == 1 else logged_in(None, "Not_Found")
        return saved(body) if len(told.sent) <= 30 else fault(EXPIRED)

    told = Told(say)
    run = await Run(records(100), settings(NOBODY), told=told)()
    delivered = run.outcomes["delivered"]
    assert 20 < delivered < 40
    assert run.outcomes == {"delivered": delivered, "unsent": 100 - delivered}
    assert run.exit_codes == [7]
    assert told.sent.count("") == 2


OUTAGES: dict[str, Callable[[], Awaitable[Answer]]] = {}


def outage(say: Callable[[], Awaitable[Answer]]) -> None:
    OUTAGES[say.__name__] = say


@outage
async def garbage() -> Answer:
    return Answer(200, {"Content-Type": "text/html"}, b"<html><title>Welcome</title></html>")


@outage
async def busy() -> Answer:
    return Answer(503, {}, b"")


@outage
async def login_page() -> Answer:
    return Answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")


@outage
async def refused_connection() -> Answer:
    raise ConnectFailed("connection refused")


@outage
async def broken() -> Answer:
    return fault("Object reference not set")


@pytest.mark.parametrize("name", OUTAGES)
@pytest.mark.parametrize("again", [0, 1], ids=["first login", "later login"])
async def test_a_login_that_fails_is_an_outage_and_is_tried_once_a_probe(name: str, again: int) -> None:
    """Not once for each worker; when it succeeds, all go on and no record has lost anything."""
    logins = 0

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        nonlocal logins
        await asyncio.sleep(0)
        if not key_in(body):
            logins += 1
            return await OUTAGES[name]() if 1 + again <= logins <= 3 + again else logged_in(f"key-{logins}")
        if again and headers["VeetroSession"] == "key-1" and len(told.sent) > 20:
            return fault(EXPIRED)
        return saved(body)

    told = Told(say)
    run = await Run(records(60), settings(NOBODY, max_attempts=2), told=told)()
    assert run.outcomes == {"delivered": 60}
    assert logins == 4 + again
    assert run.tally.logins == {"success": 1 + again, "refused": 0, "failed": 3}
    assert run.exit_codes == []


async def test_while_a_login_is_under_way_nothing_else_is_sent() -> None:
    """From the loss that is understood to the new key, whoever has asked."""
    lost = False
    logging_in = asyncio.Event()
    go_on = asyncio.Event()

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        await asyncio.sleep(0)
        if not key_in(body):
            if lost:
                logging_in.set()
                await go_on.wait()
                return logged_in("two")
            return logged_in("one")
        return fault(EXPIRED) if lost and headers["VeetroSession"] == "one" else saved(body)

    told = Told(say)
    run = Run(records(200), settings(NOBODY), told=told)
    running = asyncio.create_task(run())
    await until(lambda: len(told.sent) > 50)
    lost = True
    await logging_in.wait()
    await until(lambda: told.open == 1)
    before = len(told.sent)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(told.sent) == before
    go_on.set()
    await running
    assert run.outcomes == {"delivered": 200}
    assert told.sent.count("") == 2


async def test_a_session_key_file_is_read_again_until_it_holds_a_key_that_serves(tmp_path: Path) -> None:
    """First the same, then one that is just as bad, then gone, then the right one: the run waits, nothing is lost."""
    file = tmp_path / "session"
    file.write_text("old\n")
    seen: list[str] = []
    steps: Iterator[Callable[[], object]] = iter(
        [lambda: None, lambda: file.write_text("bad\n"), file.unlink, lambda: file.write_text("new\n")]
    )
    refused = 0

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        nonlocal refused
        await asyncio.sleep(0)
        key = headers["VeetroSession"]
        if key not in seen:
            seen.append(key)
        if key == "new" or (key == "old" and len(told.sent) <= 10):
            return saved(body)
        refused += 1
        if refused % 6 == 0:
            next(steps)()
        return Answer(401, {}, b"")

    told = Told(say)
    run = await Run(records(40), settings(NOBODY, session_file=str(file), max_attempts=2), told=told)()
    assert run.outcomes == {"delivered": 40}
    assert seen == ["old", "bad", "new"]
    assert run.exit_codes == []


async def test_a_key_that_nobody_can_renew_is_an_outage_that_ends_the_run(serve: Serve) -> None:
    """Without a login there is nothing to do but probe for a while; exit code 7, and all are unsent."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            assert request.header("VeetroSession") == "stale"
            await peer.send(http(Answer(401, {}, b"")))

    server = await serve(script)
    run = await Run(records(20), settings(server.url, session=Secret("stale"), max_outage=0.05))()
    assert run.exit_codes == [7]
    assert run.outcomes == {"unsent": 20}


@pytest.mark.parametrize("bad", ["", "two\nlines", "caf\u00e9"])
async def test_a_key_that_no_header_takes_is_no_login(bad: str) -> None:
    """It would be refused for every record, or break the request in two."""

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        return logged_in(bad)

    run = await Run(records(3), settings(NOBODY), told=Told(say))()
    assert (run.exit_codes, run.outcomes) == ([7], {"unsent": 3})


async def test_a_password_that_xml_cannot_carry_is_an_error_of_the_settings() -> None:
    """Said before anything is sent, by the option's name and without the password."""

    async def say(body: bytes, headers: Mapping[str, str]) -> Answer:
        raise AssertionError

    with pytest.raises(SettingsError, match="--password-file") as caught:
        Run([], settings(NOBODY, password=Secret("a\x01b")), told=Told(say))
    assert "a\x01b" not in str(caught.value)


async def test_the_end_of_a_run_during_a_login_leaves_every_record_unsent() -> None:
    """Whoever logs in or waits for it has sent nothing, at whatever step it ends."""
    for step in itertools.count():
        sent: Counter[str] = Counter()

        async def say(body: bytes, headers: Mapping[str, str], sent: Counter[str] = sent) -> Answer:
            sent[key_in(body)] += 1
            for _ in range(6):
                await asyncio.sleep(0)
            return saved(body) if key_in(body) else logged_in("key")

        run = Run(records(6), settings(NOBODY, drain_timeout=0.0, connections=3), told=Told(say))
        running = asyncio.create_task(run())
        for _ in range(step):
            await asyncio.sleep(0)
        was_over, begun = running.done(), set(sent)
        run.drain()
        await running
        assert set(sent) == begun | {""} if "" in begun else not sent
        for result in run.results:
            assert (result.outcome.value == "unsent") == (sent[str(result.key)] == 0)
        if was_over:
            assert run.outcomes == {"delivered": 6}
            break
    assert step > 15


async def test_the_last_two_records_are_poison() -> None:
    """Nobody follows them whose acceptance could prove it, but the session that refused them took nearly all."""
    logins = itertools.count(1)

    async def say(body: bytes, _headers: Mapping[str, str]) -> Answer:
        await asyncio.sleep(0)
        if not key_in(body):
            return logged_in(f"key-{next(logins)}")
        return Answer(401, {}, b"") if key_in(body) in {"S-59", "S-60"} else saved(body)

    run = await Run(records(60), settings(NOBODY), told=Told(say))()
    assert run.outcomes == {"delivered": 58, "rejected": 2}
    assert run.exit_codes == []
    assert next(logins) <= 4
