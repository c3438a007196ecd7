"""Runs whose ledger is in PostgreSQL: twins, one that was cut off and comes back, and a database that breaks down."""

from __future__ import annotations

import functools
import json
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from batcher.flow.ledger.access import open_to_read
from batcher.sandbox import Sandbox
from tests.e2e.conftest import StartGated
from tests.e2e.program import Done, Program, lines, many, read_lines, record, wait_for_line
from tests.e2e.servers import Raw
from tests.e2e.silent import ANSWERED, Silent
from tests.postgresql.server import Served, Server

RECORDS = 60
LIMIT = 4
MANY = 1500
WAIT = "--ledger-wait=500"
RUN = ("records.ndjson", "--results=results.ndjson", "--progress=off", f"--concurrency={LIMIT}")


@pytest.fixture
def ledger(postgresql: Server) -> Iterator[str]:
    """Of a short lease."""
    with Served(postgresql, lease=1) as served:
        yield served.ledger


@pytest.fixture
def long_lease(postgresql: Server) -> Iterator[str]:
    """A ledger whose writer keeps it although it gets no turn for some seconds."""
    with Served(postgresql, lease=8) as served:
        yield served.ledger


def sample(number: int) -> dict[str, Any]:
    """None may be sent twice."""
    return record(number, ImportSyncRecordID=0)


def sent(service: Raw) -> Counter[int]:
    """How often each record has come."""
    return Counter(int(name.removeprefix("S-")) for name in service.source_ids())


def until(condition: Callable[[], bool]) -> None:
    """Look at the world until *condition* holds; the test's time limit ends a wait in vain."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.02)


def has_applied(sandbox: Sandbox, count: int) -> bool:
    return len(sandbox.stats().applied) >= count


def begin(program: Program, service: Raw, ledger: str) -> subprocess.Popen[bytes]:
    """A run that waits for answers."""
    given = lines(*(sample(number) for number in range(1, RECORDS + 1)))
    (program.directory / "records.ndjson").write_bytes(given)
    process = program.start(*RUN, "--endpoint", service.url, "--ledger", ledger, "--summary=summary.json")
    service.wait_for(ANSWERED + LIMIT)
    return process


def proved(program: Program, ledger: str) -> Done:
    """That each record has one outcome."""
    done = program.run("verify", ledger, "records.ndjson")
    assert done.code == 0, done.out
    return done


def test_one_that_was_cut_off_and_comes_back(program: Program, service: Raw, silent: Silent, ledger: str) -> None:
    """Its twin takes over once it was not heard of for a lease; what it had declared is in doubt, and sent by no other.

    When it goes on it ends with 8, and has sent nothing that it had not declared before.
    """
    first = begin(program, service, ledger)
    first.send_signal(signal.SIGSTOP)
    options = ("--ledger", ledger, WAIT, "--in-doubt=hold", "--results=heir.ndjson")
    heir = program.start(*RUN, "--endpoint", service.url, *options)  # elsewhere, so with files of its own
    silent.release()
    done = program.finish(heir)
    assert done.code == 4, done.err
    with closing(open_to_read(ledger)) as store:
        held = {ordinal for ordinal, known in store.known(1, RECORDS).items() if known.outcome.value == "in_doubt"}
    assert LIMIT <= len(held) <= 3 * LIMIT
    first.send_signal(signal.SIGCONT)
    cut_off = program.finish(first)
    assert cut_off.code == 8, cut_off.err
    assert "was taken over by another run" in " ".join(cut_off.err.split())
    assert all(count == 1 for count in sent(service).values())
    assert set(sent(service)) >= set(range(1, RECORDS + 1)) - held
    proved(program, ledger)
    assert {entry["line"] for entry in program.run("results", ledger).results} == set(range(1, RECORDS + 1))


def test_a_twin_is_turned_away(program: Program, service: Raw, silent: Silent, long_lease: str) -> None:
    """However long ago the first one has last committed anything: it keeps its lease while it waits for answers."""
    ledger = long_lease
    first = begin(program, service, ledger)
    with psycopg.connect(ledger.partition("?")[0]) as db:
        [(moment,)] = db.execute("SELECT now()").fetchall()
        # Longer than a lease.
        until(lambda: db.execute("SELECT clock_timestamp() > %s + interval '9 s'", (moment,)).fetchall() == [(True,)])
    twin = program.run(*RUN[:-1], "--endpoint", service.url, "--ledger", ledger, "--ledger-wait=1")
    assert twin.code == 8
    assert f"process {first.pid}" in " ".join(twin.err.split())
    silent.release()
    assert program.finish(first).code == 0
    assert sent(service) == dict.fromkeys(range(1, RECORDS + 1), 1)
    proved(program, ledger)


def test_a_database_that_is_restarted_under_a_run(
    program: Program, start_gated: StartGated, postgresql: Server, long_lease: str
) -> None:
    """Three times, as after a crash: the run goes on by itself, and every record is applied once."""
    sandbox, ledger = start_gated(latency=0.005), long_lease  # the database has twice that to come back in
    sandbox.let(0)
    (program.directory / "records.ndjson").write_bytes(many(MANY, ImportSyncRecordID=0))
    process = program.start(*RUN, "--endpoint", sandbox.url, "--ledger", ledger)
    for share in (0.1, 0.4, 0.7):
        sandbox.let(int(share * MANY))
        until(functools.partial(has_applied, sandbox, int(share * MANY)))
        postgresql.restart()
    sandbox.let()
    done = program.finish(process)
    assert done.code == 0, done.err
    assert sandbox.stats().applied == {f"S-{number}": 1 for number in range(1, MANY + 1)}
    proved(program, ledger)
    results = read_lines((program.directory / "results.ndjson").read_bytes())
    assert [entry["line"] for entry in results] == list(range(1, MANY + 1))


def test_who_waits_for_a_ledger_outlives_a_restart_of_the_database(
    program: Program, service: Raw, silent: Silent, postgresql: Server, long_lease: str
) -> None:
    """It was there when another run was found to write it, so it is waited for, as long as for that run."""
    ledger = long_lease
    first = begin(program, service, ledger)
    waiting = program.start(*RUN, "--endpoint", service.url, "--ledger", ledger, WAIT, "--in-doubt=hold")
    wait_for_line(waiting.stderr, "another run is writing the ledger")
    postgresql.stop("immediate")
    try:
        first.kill()
        first.wait()
        with socket.create_server(("127.0.0.1", postgresql.port)) as nobody:
            nobody.accept()[0].close()  # it has asked in vain
    finally:
        postgresql.start()
    silent.release()
    done = program.finish(waiting)
    assert done.code == 4, done.err
    assert all(count == 1 for count in sent(service).values())
    proved(program, ledger)


def test_a_database_that_does_not_come_back(
    program: Program, start_gated: StartGated, postgresql: Server, ledger: str
) -> None:
    """The run ends with 9, and nothing is sent that was not declared; the same command goes on later."""
    sandbox = start_gated(latency=0.005)
    sandbox.let(MANY // 4)
    (program.directory / "records.ndjson").write_bytes(many(MANY))
    process = program.start(*RUN, "--endpoint", sandbox.url, "--ledger", ledger)
    until(functools.partial(has_applied, sandbox, MANY // 4))
    postgresql.stop("immediate")
    sandbox.let()
    try:
        done = program.finish(process)
        before = len(sandbox.stats().applied)
        assert done.code == 9, done.err
        assert "the database did not come back within 2 s" in " ".join(done.err.split())
        assert program.run(*RUN, "--endpoint", sandbox.url, "--ledger", ledger).code == 9
    finally:
        postgresql.start()
    with closing(open_to_read(ledger)) as store:
        assert sum(store.counts().values()) + len(store.doubtful()) >= before
    again = program.run(*RUN, "--endpoint", sandbox.url, "--ledger", ledger, WAIT)
    assert again.code == 0, again.err
    assert set(sandbox.stats().applied) == {f"S-{number}" for number in range(1, MANY + 1)}
    proved(program, ledger)


def test_tables_that_are_gone_under_a_run(
    program: Program, service: Raw, silent: Silent, postgresql: Server, ledger: str
) -> None:
    """Whatever becomes of the ledger, the run drains, ends with 9 and says so; what was in flight is waited for."""
    with postgresql.another_database("gone") as url:
        bare = ledger.partition("?")[0].rpartition("/")[0] + "/gone"
        process = begin(program, service, bare)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("DROP SCHEMA veetro_batch CASCADE")
        silent.release()
        done = program.finish(process)
    assert done.code == 9
    assert "is damaged, or of another program" in " ".join(done.err.split())
    summary = json.loads((program.directory / "summary.json").read_bytes())
    assert summary["exit_code"] == 9
    assert summary["outcomes"]["delivered"] == len(sent(service))
    assert summary["outcomes"]["unsent"] == RECORDS - len(sent(service))


def test_shards_share_one_address(program: Program, sandbox: Sandbox, ledger: str, tmp_path: Path) -> None:
    """All shards of a run have the same --ledger; the address tells of all of them together, or of one by shard=I/N."""
    (tmp_path / "records.ndjson").write_bytes(many(90))
    runs = program.run_each(
        [
            (("records.ndjson", f"--shard={index}/3", "--endpoint", sandbox.url, "--ledger", ledger), b"")
            for index in range(3)
        ]
    )
    assert [done.code for done in runs] == [0, 0, 0], runs
    assert sorted(entry["line"] for done in runs for entry in done.results) == list(range(1, 91))
    proof = b"90 records in 3 shards by key: each in one shard, and every one has exactly one outcome (delivered 90)\n"
    assert proved(program, ledger).out == proof
    assert len(program.run("results", ledger).results) == 90
    assert program.run("status", ledger).out.startswith(b"3 ledgers of 3 shards by key, no run is writing them\n")
    one = program.run("status", f"{ledger}&shard=1/3")
    assert one.out.startswith(
        f"ledger: {ledger}&shard=1/3, no run".replace("&lease=1&shard=1/3", "&shard=1/3&lease=1").encode()
    )
    assert program.run("report", ledger, "-o", "report.html").code == 0
    several = program.run("settle", ledger, "--line=1", "--applied")
    assert several.code == 2
    assert "names the ledgers of 3 shards; name one with shard=I/N behind the ?, such as shard=" in several.err
    again = program.run("records.ndjson", "--shard=2/3", "--endpoint", sandbox.url, "--ledger", ledger)
    assert (again.code, again.out) == (0, b"")
    assert sandbox.stats().applied == {f"S-{number}": 1 for number in range(1, 91)}


def test_an_address_of_the_whole_run_misses_shards_of_which_there_is_but_one(
    program: Program, sandbox: Sandbox, ledger: str, tmp_path: Path
) -> None:
    """One shard of two has run: that is no proof of the input, and each command says which one is missing."""
    (tmp_path / "records.ndjson").write_bytes(many(40))
    run = program.run("records.ndjson", "--shard=0/2", "--endpoint", sandbox.url, "--ledger", ledger)
    assert run.code == 0, run.err
    proof = program.run("verify", ledger, "records.ndjson")
    assert proof.code == 3, proof.out
    assert b"no ledger" in proof.out
    status = program.run("status", ledger)
    assert b"1 ledger of 2 shards by key, no run is writing them\n" in status.out
    assert b"no ledger is given of the shards 1/2\n" in status.out
    told = program.run("results", ledger)
    assert "no ledger is given of the shards 1/2" in " ".join(told.err.split())
    assert sorted(map(str, told.results)) == sorted(map(str, run.results))
    assert program.run("report", ledger, "-o", "report.html").code == 0
    assert program.run("verify", f"{ledger}&shard=0/2", "records.ndjson").code == 0
