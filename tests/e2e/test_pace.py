"""Over the wire: how many requests are in flight, after an earlier run and after a pause that the service asks for."""

from __future__ import annotations

import asyncio
import json
import time

from tests.e2e.conftest import StartRaw
from tests.e2e.program import Program, many
from tests.e2e.servers import Background, Held, Request, http, saved

RECORDS = 300
TURNED_AWAY = 8


def test_a_resumed_run_begins_with_half_of_the_limit_that_was_found(
    program: Program, start_raw: StartRaw, background: Background
) -> None:
    """The ledger keeps it: before anything is answered, half as many requests have come as it holds."""

    class Silent(Held):
        async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
            if request.number <= RECORDS:
                await asyncio.sleep(0.01)  # the time of this service
                writer.write(http("200 OK", saved(request)))
            else:
                await super().__call__(request, writer)

    silent = Silent(background)
    service = start_raw(silent)
    command = ("records.ndjson", "--endpoint", service.url, "--ledger=ledger")
    given = program.directory / "records.ndjson"
    given.write_bytes(many(RECORDS))
    assert program.run(*command).code == 0
    found = json.loads(program.run("status", "ledger", "--json").out)["concurrency_limit"]
    assert 1 <= found <= 64
    given.write_bytes(many(RECORDS * 2))
    process = program.start(*command)
    service.wait_for(RECORDS + max(1, found // 2))
    silent.release()
    done = program.finish(process)
    assert (done.code, len(service.requests)) == (0, RECORDS * 2)


def test_retry_after_pauses_everybody_once(program: Program, start_raw: StartRaw) -> None:
    """Eight requests in flight are all turned away: nothing comes until the time is over, then nothing waits again."""
    arrivals: list[float] = []
    full = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        arrivals.append(time.monotonic())
        if request.number <= TURNED_AWAY:
            if request.number == TURNED_AWAY:
                full.set()
            await full.wait()
            writer.write(http("503 Service Unavailable", b"", "Retry-After: 1", kind="text/html"))
        else:
            writer.write(http("200 OK", saved(request)))

    options = (f"--concurrency={TURNED_AWAY}", "--max-attempts=1", "--log-format=json")
    done = program.run("--endpoint", start_raw(answer).url, *options, "-", given=many(50))
    assert (done.code, done.outcomes, len(arrivals)) == (0, {"delivered": 50}, 50 + TURNED_AWAY)
    assert arrivals[TURNED_AWAY] - arrivals[TURNED_AWAY - 1] > 0.9
    told = [json.loads(line) for line in done.err.splitlines()]
    assert [line["reason"] for line in told if line["event"] == "paused"] == ["throttled"]
