"""Order: what the service saw come, and when, of records that share a key."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.e2e.conftest import StartRaw, StartSandbox
from tests.e2e.program import Program, lines, read_lines, record
from tests.e2e.servers import Request, http, logged_in, saved

IN_FLIGHT = 64
RECORDS = 640
FAULT = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Server</faultcode>'
    "<faultstring>{}</faultstring></s:Fault></s:Body></s:Envelope>"
)


def leaf(request: Request, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>".encode(), request.body)
    assert found is not None
    return found[1].decode()


class Watched:
    """A service in trouble that writes down what it sees: deadlocks, resets, and sessions that do not last.

    Nothing is answered before as many requests are open as may be.
    """

    def __init__(self) -> None:
        self.arrived: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.open: Counter[tuple[str, str]] = Counter()
        self.overlaps: list[tuple[str, str]] = []
        self.most = 0
        self.told: Counter[str] = Counter()
        self._full = asyncio.Event()
        self._chance = random.Random(5)
        self._sessions = 0

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if b"<AuthenticateWebSafe" in request.body:
            self._sessions += 1
            writer.write(http("200 OK", logged_in(f"key-{self._sessions}")))
            return
        key = leaf(request, "VeetroID"), leaf(request, "SourceID")
        self.arrived[key].append(int(leaf(request, "ImportSyncRecordID")))
        self.open[key] += 1
        if self.open[key] > 1:
            self.overlaps.append(key)
        self.most = max(self.most, self.open.total())
        if self.most == IN_FLIGHT:
            self._full.set()
        await self._full.wait()
        await asyncio.sleep(self._chance.random() * 0.004)
        self.open[key] -= 1
        if sum(map(len, self.arrived.values())) > 250 * self._sessions:
            self._sessions += 1000  # no key fits until there was a login
        kind = "session" if f"key-{self._sessions}\r" not in request.head else self._chance.choice(_KINDS)
        self.told[kind] += 1
        if kind == "reset":
            writer.transport.abort()
        elif kind == "saved":
            writer.write(http("200 OK", saved(request)))
        else:
            text = "Your session has expired." if kind == "session" else "Transaction was deadlocked, rerun it"
            writer.write(http("500 Internal Server Error", FAULT.format(text).encode()))


_KINDS = ("saved",) * 12 + ("reset", "deadlock")


def test_records_of_a_key_come_one_after_another(program: Program, start_raw: StartRaw) -> None:
    """With 64 in flight, of 64 keys of two fields, through retries, lost connections and renewed sessions.

    The records of one key come in input order, one is open at a time, and no key waits for another.
    """
    service = Watched()
    url = start_raw(service).url
    given = [
        record(number, ImportSyncRecordID=number, VeetroID=1 + number % 8, SourceID=f"S-{number // 8 % 8}")
        for number in range(1, RECORDS + 1)
    ]
    done = program.run(
        *("--endpoint", url, "--order-by=VeetroID,SourceID", f"--concurrency={IN_FLIGHT}", "--max-attempts=50"),
        *("--email=ann", "--retry-budget=100%"),
        given=lines(*given),
        environ={"VEETRO_BATCH_PASSWORD": "secret"},
    )
    assert (done.code, done.outcomes) == (0, {"delivered": RECORDS})
    assert service.overlaps == []
    assert service.most == IN_FLIGHT
    assert len(service.arrived) == 64
    for come in service.arrived.values():
        assert come == sorted(come)
        assert len(set(come)) == RECORDS // 64
    assert min(service.told[kind] for kind in ("saved", "reset", "deadlock", "session")) > 0


def test_a_key_that_holds_up_the_run_is_named(program: Program, start_sandbox: StartSandbox) -> None:
    """Where nearly all records share one; where each has its own, nothing is said."""
    sandbox = start_sandbox()
    hot = program.run("--endpoint", sandbox.url, given=lines(*(record(n, SourceID="hot") for n in range(1, 501))))
    assert hot.code == 0
    said = " ".join(hot.err.split())
    assert "records waited at once for others of their key hot" in said
    cool = program.run("--endpoint", sandbox.url, given=lines(*(record(n) for n in range(1, 501))))
    assert "waited at once" not in cool.err


# Strict order

KEYS, LAST = 40, 1000
"""So many that some of them are held up by a fault of each kind, whichever records meet which faults."""


def sample(number: int) -> dict[str, Any]:
    """Of all keys, the VeetroID; every other one is not safe to send twice."""
    return record(number, VeetroID=1 + number % KEYS, ImportSyncRecordID=number * (number % 2))


def judge(results: dict[int, dict[str, Any]], applied: dict[str, int]) -> set[int]:
    """The lines that are blocked: none of them was applied, and those before the one that blocks were delivered."""
    late: set[int] = set()
    for key in range(KEYS):
        blocker = None
        for number in range(1, LAST + 1):
            if number % KEYS != key:
                continue
            if blocker is not None:
                late.add(number)
                assert f"S-{number}" not in applied, (number, blocker)
                if number in results:
                    assert results[number]["outcome"] == "unsent"
                    assert results[number]["error"]["kind"] == "order"
                    assert results[number]["error"]["message"].startswith(f"line {blocker} ")
            elif results[number]["outcome"] != "delivered":
                blocker = number
            else:
                assert applied[f"S-{number}"] >= 1
    return late


@pytest.mark.parametrize("kept", [False, True])
def test_strict_order(program: Program, start_sandbox: StartSandbox, *, kept: bool) -> None:
    """Nothing of a key is applied behind its first record that was not delivered, whatever went wrong.

    With a ledger that holds for the same command again; without the option the rest is sent then.
    """
    sandbox = start_sandbox(faults={"client": 0.03, "server": 0.03, "reset": 0.1, "deadlock": 0.05}, seed=5)
    (program.directory / "records.ndjson").write_bytes(
        lines(*map(sample, range(1, LAST + 1)), sample(7) | {"Retried": "x"})
    )
    command = ("records.ndjson", "--endpoint", sandbox.url, "--order-by=VeetroID", "--results=results.ndjson")
    ledger = ("--ledger=ledger",) if kept else ()
    done = program.run(*command, "--order-strict", *ledger)
    results = {entry["line"]: entry for entry in read_lines((program.directory / "results.ndjson").read_bytes())}
    late = judge(results, dict(sandbox.stats().applied))
    outcomes = Counter(entry["outcome"] for entry in results.values())
    assert late
    assert outcomes["rejected"] > 0
    assert outcomes["in_doubt"] > 0
    assert done.code == 4
    assert outcomes["unsent"] == (0 if kept else len(late))
    if not kept:
        return
    requests = sandbox.stats().requests
    assert program.run(*command, "--order-strict", *ledger).code == 4
    assert sandbox.stats().requests == requests
    assert program.run(*command, *ledger).code == 4
    results = {entry["line"]: entry for entry in read_lines((program.directory / "results.ndjson").read_bytes())}
    assert set(results) == set(range(1, LAST + 2))
    assert {f"S-{number}" for number in late if results[number]["outcome"] == "delivered"} <= set(
        sandbox.stats().applied
    )


def test_a_blocked_record_is_no_success(program: Program, start_sandbox: StartSandbox) -> None:
    """It counts against --allow-rejected together with the one that blocks it."""
    sandbox = start_sandbox()
    given = lines(record(1, SourceID="A", CurrentStatus="Nonsense"), record(2, SourceID="A"), record(3))
    options = ("--endpoint", sandbox.url, "--order-strict")
    done = [program.run(*options, f"--allow-rejected={allowed}", given=given) for allowed in (1, 2)]
    assert [run.code for run in done] == [3, 0]
    assert [run.outcomes for run in done] == [{"invalid": 1, "unsent": 1, "delivered": 1}] * 2


def test_strict_order_needs_an_order(program: Program) -> None:
    """With --order-by none it is a contradiction; it can be set everywhere, as other options."""
    options = ("--endpoint=http://127.0.0.1:9/xml", "--order-by=none")
    (program.directory / "settings.toml").write_text("order-strict = true\n")
    for done in (
        program.run(*options, "--order-strict"),
        program.run(*options, environ={"VEETRO_BATCH_ORDER_STRICT": "on"}),
        program.run(*options, "--config=settings.toml"),
    ):
        assert done.code == 2
        assert "--order-strict" in done.err
