"""Runs whose ledgers are in PostgreSQL, and that go on with another number of shards."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from batcher.flow.ledger.access import is_written, members, open_together
from batcher.flow.ledger.rows import mark
from batcher.flow.lines import Splitter
from batcher.sandbox import Sandbox
from tests.e2e.conftest import StartGated, StartRaw, StartSandbox
from tests.e2e.program import Done, Program, lines, many, read_lines, record
from tests.e2e.servers import Background, Raw, Request, http, saved
from tests.e2e.silent import ANSWERED, Silent
from tests.e2e.test_database import has_applied, until
from tests.postgresql.server import Served, Server

RECORDS = 400
LIMIT = 4
_FAULT = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode>'
    b"<faultstring>No.</faultstring></s:Fault></s:Body></s:Envelope>"
)
MANY = 3000
"""More than are read ahead."""
WAIT = "--ledger-wait=500"


@pytest.fixture
def ledger(postgresql: Server) -> Iterator[str]:
    """Of a short lease."""
    with Served(postgresql, lease=2) as served:
        yield served.ledger


def mixed(count: int) -> bytes:
    """Records of which every second one may be sent twice, with a blank line and one that is no record."""
    found = [lines(record(number, ImportSyncRecordID=number % 2 * number)) for number in range(1, count + 1)]
    return b"".join([*found[:9], b"\n", b"no record\n", *found[9:]])


class Job:
    """A run of some shards over one input, as a cluster runs it."""

    def __init__(self, program: Program, url: str, ledger: str) -> None:
        self.program = program
        self._run = ("records.ndjson", "--progress=off", f"--concurrency={LIMIT}", "--endpoint", url)
        self.ledger = ledger

    def of(self, index: int, count: int, *more: str, ledger: str | None = None) -> tuple[str, ...]:
        """The command of one shard; of one alone there is none."""
        shard = () if count == 1 else (f"--shard={index}/{count}",)
        results = "--results=none" if not any(each.startswith("--results") for each in more) else "--summary=s.json"
        return (*self._run, *shard, "--ledger", ledger or self.ledger, results, *more)

    def start(
        self, count: int, *more: str, ledger: str | None = None, most: int | None = None
    ) -> list[subprocess.Popen[bytes]]:
        """All shards, or the first ones, *most* of them."""
        return [self.program.start(*self.of(index, count, *more, ledger=ledger)) for index in range(most or count)]

    def end(self, count: int, *more: str, ledger: str | None = None) -> list[Done]:
        """All shards, one after another ending; they wait for each other's closing."""
        more = (WAIT, *more)
        return [self.program.finish(each) for each in self.start(count, *more, ledger=ledger)]

    def where(self, index: int, count: int) -> tuple[str]:
        """The ledger of one shard."""
        return (self.ledger if count == 1 else f"{self.ledger}&shard={index}/{count}",)

    def status(self) -> dict[str, Any]:
        done = self.program.run("status", self.ledger, "--json")
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)
        return found

    def results(self) -> list[dict[str, Any]]:
        done = self.program.run("results", self.ledger)
        assert done.code == 0, done.err
        return done.results

    def proved(self, code: int = 0) -> Done:
        done = self.program.run("verify", self.ledger, "records.ndjson")
        assert done.code == code, done.out
        return done


def kill(processes: Sequence[subprocess.Popen[bytes]], ledger: str) -> None:
    """All at once; the database knows of it then."""
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.wait()
    until(lambda: not any(map(is_written, members(ledger))))


def timeless(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in entry.items() if name not in {"seconds", "attempts", "result"}}
        for entry in entries
    ]


@pytest.mark.parametrize("last", [1, 5])
def test_killed_and_gone_on_with_other_numbers(
    program: Program, start_gated: StartGated, ledger: str, last: int
) -> None:
    """Two shards, three, then one or five, killed in between: every record has one outcome and one line.

    What may not be sent twice was not; in doubt is only what was declared when somebody was killed. In between nothing
    is missing in what is told of the run, and nothing is there twice.
    """
    sandbox = start_gated(latency=0.004)
    (program.directory / "records.ndjson").write_bytes(mixed(RECORDS))
    job, ended, declared = Job(program, sandbox.url, ledger), 0, set[int]()
    for count, share in ((2, 0.3), (3, 0.6)):
        sandbox.let(int(share * RECORDS))
        processes = job.start(count, WAIT)
        until(functools.partial(has_applied, sandbox, int(share * RECORDS)))
        until(functools.partial(all_have_begun, ledger, count))
        kill(processes, ledger)
        told, status = job.results(), job.status()
        assert len({entry["line"] for entry in told}) == len(told) == status["records"] > ended
        outcomes = Counter(entry["outcome"] for entry in told)
        assert status["outcomes"] == {name: outcomes[name] for name in status["outcomes"]}
        assert status["records"] + status["open_intents"] >= len(sandbox.stats().applied)
        ended = status["records"]
        declared |= open_lines(ledger)
        assert len(open_lines(ledger)) == status["open_intents"] <= count * 3 * LIMIT
        left = job.proved(3).out.decode()
        assert f"no outcome, and perhaps sent: {status['open_intents']} (" in left
        assert f"no outcome, and never sent: {RECORDS + 1 - ended - status['open_intents']} (" in left
        assert left.count("\n") == 3, left
    sandbox.let()
    done = job.end(last)
    assert {each.code for each in done} <= {0, 3, 4}, done
    told = job.results()
    assert [entry["line"] for entry in told] == [*range(1, 10), *range(11, RECORDS + 3)]
    job.proved()
    applied = sandbox.stats().applied
    doubtful = {entry["key"]: entry["line"] for entry in told if entry["outcome"] == "in_doubt"}
    assert set(doubtful.values()) <= declared
    assert applied.keys() | doubtful.keys() == {f"S-{number}" for number in range(1, RECORDS + 1)}
    twice = {name for name, times in applied.items() if times > 1}
    assert all(int(name[2:]) % 2 for name in twice), "only what is safe to send twice"
    assert not any(int(name[2:]) % 2 for name in doubtful), "what is safe is sent again"
    status = job.status()
    assert (status["records"], status["open_intents"], status.get("earlier", [])) == (RECORDS + 1, 0, [])
    alone = program.run("records.ndjson", "--endpoint", sandbox.url, "--progress=off")
    expected = {entry["line"]: entry for entry in timeless(alone.results)}
    assert all(entry == expected[entry["line"]] for entry in timeless(told) if entry["outcome"] != "in_doubt")
    requests = sandbox.stats().requests
    assert [again.code for again in job.end(last)] == [each.code for each in done]
    assert sandbox.stats().requests == requests, "what has ended is not sent again"
    assert program.run("report", ledger, "-o", "report.html").code == 0


def all_have_begun(ledger: str, count: int) -> bool:
    """Whether each of so many shards has its ledger."""
    return sum("division=" not in each for each in members(ledger)) == count


def open_lines(ledger: str) -> set[int]:
    """The lines of records that may have been sent, in whatever ledger of the run they are."""
    found = set()
    with open_together([ledger]) as opened:
        for _, store in opened:
            found |= set(store.doubtful().values())
    return {line for line, digest in digests(RECORDS).items() if digest in found}


@functools.cache
def digests(count: int) -> dict[int, int]:
    found = itertools.chain.from_iterable(Splitter(None, 1 << 20).feed(mixed(count)))
    return {line.number: mark(line.hash, line.number) for line in found}


def test_killed_while_records_move(program: Program, start_raw: StartRaw, background: Background, ledger: str) -> None:
    """Of many records that have their outcome some have moved, and some not: all that is told stays the same.

    Nothing is sent again meanwhile; resubmit waits until all have moved, and a person's word needs not.
    """
    answers = Rejecting()
    service = start_raw(answers)
    (program.directory / "records.ndjson").write_bytes(many(MANY))
    job = Job(program, service.url, ledger)
    assert {done.code for done in job.end(2, "--stop-after=none")} == {3}
    proof, told = job.proved().out, job.results()
    sent = len(service.requests)
    assert sent == len(told) == MANY
    status = job.status()
    for division, count in ((2, 3), (3, 1), (4, 4)):
        processes = job.start(count, WAIT, most=max(1, count - 1))
        until(functools.partial(has_moved, ledger, division))
        assert job.results() == told
        kill(processes, ledger)
        between = job.status()
        assert {name: between[name] for name in ("records", "outcomes")} == {
            name: status[name] for name in ("records", "outcomes")
        }
        assert job.results() == told
        assert job.proved().out.partition(b"every one")[2] == proof.partition(b"every one")[2]
        earlier = [each for each in members(ledger) if "division=" in each]
        assert earlier or count == 1
        if earlier:
            one = program.run("resubmit", *job.where(0, count), "--endpoint", service.url)
            assert one.code == 9
            assert "records are still where they were" in " ".join(one.err.split())
            late = program.run("resubmit", earlier[0], "--endpoint", service.url)
            assert late.code == 9
    assert {done.code for done in job.end(4)} == {3}
    assert job.results() == told
    assert job.proved().out.partition(b"every one")[2] == proof.partition(b"every one")[2]
    assert not [each for each in members(ledger) if "division=" in each]
    assert len(service.requests) == sent


class Rejecting:
    """Turns every other record down."""

    def __init__(self) -> None:
        self._count = itertools.count()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if next(self._count) % 2:
            writer.write(http("500 Internal Server Error", _FAULT))
        else:
            writer.write(http("200 OK", saved(request)))


def has_moved(ledger: str, division: int) -> bool:
    """Whether some records are in this division."""
    with open_together([ledger]) as opened:
        return any(sum(store.counts().values()) for _, store in opened if store.division == division)


def test_one_that_was_frozen_and_thaws(program: Program, service: Raw, silent: Silent, ledger: str) -> None:
    """Its run goes on in other shards once it was not heard of for a lease; it ends with 8 and sends nothing more.

    What it had declared is in doubt, and sent by no other.
    """
    given = lines(*(record(number, ImportSyncRecordID=0) for number in range(1, 61)))
    (program.directory / "records.ndjson").write_bytes(given)
    job = Job(program, service.url, ledger)
    [frozen] = job.start(1)
    service.wait_for(ANSWERED + LIMIT)
    frozen.send_signal(signal.SIGSTOP)
    heirs = job.start(2, WAIT, "--in-doubt=hold")
    silent.release()
    assert {program.finish(heir).code for heir in heirs} <= {0, 4}
    held = {entry["line"] for entry in job.results() if entry["outcome"] == "in_doubt"}
    assert LIMIT <= len(held) <= 3 * LIMIT
    frozen.send_signal(signal.SIGCONT)
    done = program.finish(frozen)
    assert done.code == 8, done.err
    assert "was taken over by another run" in " ".join(done.err.split())
    sent = Counter(int(name.removeprefix("S-")) for name in service.source_ids())
    assert all(count == 1 for count in sent.values())
    assert sent.keys() >= set(range(1, 61)) - held
    job.proved()
    late = program.run(*job.of(0, 1))
    assert late.code == 9
    assert "has 2 shards now; if this is not a shard of before that is late" in " ".join(late.err.split())


def test_who_may_not_be_divided_anew(
    program: Program, sandbox: Sandbox, start_sandbox: StartSandbox, ledger: str, tmp_path: Path
) -> None:
    """Shards by range, another service, and ledgers in files are refused with 9, and told what to do."""
    (tmp_path / "records.ndjson").write_bytes(many(40))
    by_range = Job(program, sandbox.url, ledger.replace("?ledger=", "?ledger=range"))
    assert [done.code for done in by_range.end(2, "--shard-by=range")] == [0, 0]
    for more in (("--shard-by=range",), ()):
        refused = program.run(*by_range.of(0, 3, *more))
        assert refused.code == 9
        assert "shards by range keep their number" in " ".join(refused.err.split())
        assert "go on with as many as before" in " ".join(refused.err.split())
    job = Job(program, sandbox.url, ledger)
    assert [done.code for done in job.end(2)] == [0, 0]
    other = program.run(*Job(program, "http://127.0.0.1:9/other", ledger).of(0, 3))
    assert other.code == 9
    assert "bound to endpoint" in " ".join(other.err.split())
    assert [done.code for done in job.end(2)] == [0, 0], "it was not closed"
    requests = sandbox.stats().requests
    file = Job(program, start_sandbox().url, str(tmp_path / "file.ledger"))
    assert program.run(*file.of(0, 2)).code == 0
    assert program.run(*file.of(0, 3)).code == 9
    (tmp_path / "records.ndjson").write_bytes(many(41)[200:])
    changed = program.run(*job.of(0, 3))
    assert changed.code == 9
    assert "is not the one that the ledger knows" in " ".join(changed.err.split())
    (tmp_path / "records.ndjson").write_bytes(many(41))  # it has grown
    assert [done.code for done in job.end(3)] == [0, 0, 0]
    job.proved()
    assert sandbox.stats().requests == requests + 1


def test_results_files_are_those_of_the_new_shards(program: Program, sandbox: Sandbox, ledger: str) -> None:
    """A file has all lines of its shard, those that have come from other ones too; a pipe has this run's alone."""
    (program.directory / "records.ndjson").write_bytes(many(90))
    job = Job(program, sandbox.url, ledger)
    assert [program.run(*job.of(index, 2, f"--results=r{index}")).code for index in range(2)] == [0, 0]
    with (program.directory / "records.ndjson").open("ab") as file:
        file.write(lines(*(record(number) for number in range(91, 100))))
    piped = []
    for index in range(3):
        done = program.run(*job.of(index, 3, "--results=-" if index == 2 else f"--results=r{index}"))
        assert done.code == 0
        piped += [entry["line"] for entry in done.results]
    assert all(line > 90 for line in piped)
    found = [program.run("results", *job.where(index, 3)).out for index in range(3)]
    assert [(program.directory / f"r{index}").read_bytes() for index in range(2)] == found[:2]
    assert sorted(entry["line"] for text in found for entry in read_lines(text)) == list(range(1, 100))
    again = program.run(*job.of(2, 3, "--results=r2"))
    assert (again.code, (program.directory / "r2").read_bytes()) == (0, found[2])
