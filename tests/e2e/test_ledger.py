"""A ledger: a run that was killed, drained or refused is taken up again by the same command, and nothing is sent twice.

The truth is what the service has seen: a request that came counts as sent, whether it was answered or not.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batcher.errors import RunAborted
from batcher.flow.ledger.access import is_written
from batcher.sandbox import Sandbox
from bench.torture import torture
from tests.e2e.program import Done, Program, lines, read_lines, record, wait_for_line
from tests.e2e.servers import Raw
from tests.e2e.silent import ANSWERED, Silent
from tests.flow.ledgers import opened
from tests.places import Places, tampering
from tests.postgresql.server import Served, Server

RECORDS = 40
LIMIT = 4
RECORDS_TO_KILL = 2500
COMMAND = (
    *("records.ndjson", f"--concurrency={LIMIT}", "--ledger=ledger", "--results=results.ndjson"),
    *("--rejects=rejects.ndjson", "--summary=summary.json"),
)


FILES = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
"""For what only a file can suffer."""


@pytest.fixture
def program(tmp_path: Path, places: Places) -> Iterator[Program]:
    """The program, run in a directory of its own, with either kind of ledger."""
    with closing(Program(tmp_path, places)) as started:
        yield started


@pytest.fixture
def given(program: Program) -> Path:
    """The input: every other record is not safe to send twice."""
    path = program.directory / "records.ndjson"
    path.write_bytes(lines(*(sample(number) for number in range(1, RECORDS + 1))))
    return path


def sample(number: int) -> dict[str, Any]:
    return record(number, ImportSyncRecordID=number if safe(number) else 0)


def safe(number: int) -> bool:
    return number % 2 == 0


def until(condition: Callable[[], bool]) -> None:
    """Look at the world until *condition* holds; the test's time limit ends a wait in vain."""
    while not condition():
        time.sleep(0.005)


def size(path: Path) -> int:
    """Lines that are in *path*."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def begin(program: Program, service: Raw) -> subprocess.Popen[bytes]:
    """A run that has written what was answered, and now waits for answers to as many requests as it may send."""
    process = program.start(*COMMAND, "--endpoint", service.url)
    service.wait_for(ANSWERED + LIMIT)
    until(lambda: size(program.directory / "results.ndjson") == ANSWERED)
    return process


def kill(program: Program, service: Raw) -> None:
    """A run that was killed in the middle."""
    program.kill(begin(program, service))


def again(program: Program, service: Raw, *options: str) -> Done:
    """The same command once more."""
    return program.run(*COMMAND, "--endpoint", service.url, *options)


def sent(service: Raw) -> Counter[int]:
    """How often each record has come."""
    return Counter(int(name.removeprefix("S-")) for name in service.source_ids())


def told(program: Program) -> dict[str, Any]:
    """The summary for programs."""
    summary: dict[str, Any] = json.loads((program.directory / "summary.json").read_bytes())
    return summary


def refused(program: Program, service: Raw, *words: str, options: tuple[str, ...] = (), code: int = 9) -> None:
    """The command ends with 9 and says *words*; nothing more is sent."""
    before = len(service.requests)
    done = again(program, service, *options)
    said = " ".join(done.err.split())
    assert done.code == code, said
    for word in words:
        assert word in said
    assert len(service.requests) == before


@pytest.mark.parametrize("policy", ["auto", "hold", "resend"])
@pytest.mark.usefixtures("given")
def test_killed_and_run_again(program: Program, service: Raw, silent: Silent, policy: str) -> None:
    """What was delivered stays, what was not sent is sent, and what lies between is treated as the policy says."""
    kill(program, service)
    results = program.directory / "results.ndjson"
    before, open_before = results.read_bytes(), sent(service)
    silent.release()
    done = again(program, service, f"--in-doubt={policy}")
    text = results.read_bytes()
    assert text.startswith(before)
    ended = {entry["line"]: entry for entry in read_lines(text)}
    assert len(read_lines(text)) == len(ended) == RECORDS
    known = {entry["line"] for entry in read_lines(before)}
    held = {number for number, entry in ended.items() if entry["outcome"] == "in_doubt"}
    resent = {number for number, entry in ended.items() if entry["attempts"] > 1}
    in_flight = set(open_before) - known
    assert len(in_flight) == LIMIT
    doubtful = held | resent
    assert in_flight <= doubtful
    assert len(doubtful) <= 3 * LIMIT
    assert {ended[number]["outcome"] for number in set(ended) - held} == {"delivered"}
    assert {(ended[number]["attempts"], ended[number]["error"]["kind"]) for number in held} <= {(1, "crash")}
    assert all(policy == "resend" or (policy == "auto" and safe(number)) for number in resent)
    assert not any(policy == "resend" or (policy == "auto" and safe(number)) for number in held)
    for number in range(1, RECORDS + 1):
        came = (number in in_flight) + (number not in held)
        assert sent(service)[number] == came, number
    assert done.code == (4 if held else 0)
    summary = told(program)
    assert (summary["records"], summary["resumed"], summary["exit_code"]) == (RECORDS, ANSWERED, done.code)
    assert summary["outcomes"] == dict.fromkeys(summary["outcomes"], 0) | {
        "delivered": RECORDS - len(held),
        "in_doubt": len(held),
    }
    rejects = read_lines((program.directory / "rejects.ndjson").read_bytes())
    assert {entry["line"]: entry["record"] for entry in rejects} == {number: sample(number) for number in held}


@pytest.mark.usefixtures("given")
def test_killed_and_drained_before_it_could_resend(program: Program, service: Raw, silent: Silent) -> None:
    """What a killed run left open and is safe stays open when the next run ends before an answer: the third sends it.

    The second run counts it as in doubt, and writes no line for it.
    """
    kill(program, service)
    results = program.directory / "results.ndjson"
    process = program.start(
        *COMMAND, "--endpoint", service.url, "--concurrency=1", "--drain-timeout=0.1", "--progress=off"
    )
    service.wait_for(ANSWERED + LIMIT + 1)
    (tried,) = set(sent(service)) & {int(name.removeprefix("S-")) for name in service.source_ids()[ANSWERED + LIMIT :]}
    process.send_signal(signal.SIGTERM)
    assert program.finish(process).code == 6
    between = {entry["line"]: entry for entry in read_lines(results.read_bytes())}
    held = {number for number, entry in between.items() if entry["outcome"] == "in_doubt"}
    assert not any(map(safe, held))
    left = {number for number in sent(service) if number not in between}
    assert tried in left
    assert all(map(safe, left))
    assert told(program)["outcomes"]["in_doubt"] >= len(held | left)
    silent.release()
    assert again(program, service).code == 4
    ended = {entry["line"]: entry for entry in read_lines(results.read_bytes())}
    assert set(ended) == set(range(1, RECORDS + 1))
    assert {(ended[number]["outcome"], ended[number]["attempts"]) for number in left} == {("delivered", 2)}
    assert {number for number, entry in ended.items() if entry["outcome"] == "in_doubt"} == held
    assert all(sent(service)[number] == 2 + (number == tried) for number in left)
    assert told(program)["outcomes"]["in_doubt"] == len(held)


@pytest.mark.usefixtures("given")
def test_a_finished_ledger(program: Program, service: Raw, silent: Silent) -> None:
    """Run again, it sends nothing, changes no result and ends with the same exit code."""
    kill(program, service)
    silent.release()
    first = again(program, service)
    files = [program.directory / name for name in ("results.ndjson", "rejects.ndjson")]
    before, came = [file.read_bytes() for file in files], len(service.requests)
    second = again(program, service)
    assert (first.code, second.code) == (4, 4)
    assert [file.read_bytes() for file in files] == before
    assert len(service.requests) == came
    assert (told(program)["records"], told(program)["resumed"]) == (RECORDS, RECORDS)


def test_where_results_of_an_earlier_run_go(program: Program, service: Raw, silent: Silent, given: Path) -> None:
    """A new path is filled from the ledger, results as well as rejects; a pipe gets the lines of its own run alone."""
    kill(program, service)
    silent.release()
    with given.open("ab") as file:
        file.write(b"{}\n")
    done = program.run(
        given, f"--concurrency={LIMIT}", "--endpoint", service.url, "--ledger=ledger", "--rejects=others.ndjson"
    )
    assert done.code == 4
    known = {entry["line"] for entry in read_lines((program.directory / "results.ndjson").read_bytes())}
    assert {entry["line"] for entry in done.results} == set(range(1, RECORDS + 2)) - known
    done = again(program, service, "--results=all.ndjson", "--rejects=all-rejects.ndjson")
    assert (done.code, done.out) == (4, b"")
    results = read_lines((program.directory / "all.ndjson").read_bytes())
    assert [entry["line"] for entry in results] == list(range(1, RECORDS + 2))
    rejects = read_lines((program.directory / "all-rejects.ndjson").read_bytes())
    assert [(entry["line"], entry["outcome"]) for entry in rejects] == [
        (entry["line"], entry["outcome"]) for entry in results if entry["outcome"] != "delivered"
    ]
    assert rejects == read_lines((program.directory / "others.ndjson").read_bytes())
    assert rejects[-1]["record"] == {}


def drain(program: Program, service: Raw, silent: Silent) -> None:
    """A run that was drained in the middle."""
    process = begin(program, service)
    process.send_signal(signal.SIGTERM)
    wait_for_line(process.stderr, "draining")
    silent.release()
    assert program.finish(process).code == 6


@pytest.mark.usefixtures("given")
def test_drained_and_run_again(program: Program, service: Raw, silent: Silent) -> None:
    """Nothing is in doubt after a drain, what was not sent has no line, and each record is sent once in the end."""
    drain(program, service, silent)
    results = program.directory / "results.ndjson"
    before = results.read_bytes()
    assert [entry["outcome"] for entry in read_lines(before)] == ["delivered"] * (ANSWERED + LIMIT)
    assert again(program, service).code == 0
    text = results.read_bytes()
    assert text.startswith(before)
    assert [(entry["line"], entry["outcome"], entry["attempts"]) for entry in read_lines(text)] == [
        (number, "delivered", 1) for number in range(1, RECORDS + 1)
    ]
    assert sent(service) == dict.fromkeys(range(1, RECORDS + 1), 1)
    assert (program.directory / "rejects.ndjson").read_bytes() == b""


def test_another_input(program: Program, service: Raw, silent: Silent, given: Path) -> None:
    """An input that was changed, reordered, cut or shifted is refused with 9, and its first other line named."""
    drain(program, service, silent)
    records = [sample(number) for number in range(1, RECORDS + 1)]
    given.write_bytes(lines(*records[:4], record(77), *records[5:]))
    refused(program, service, "line 5 is not the one that the ledger knows")
    given.write_bytes(lines(*records[:2], records[3], records[2], *records[4:]))
    refused(program, service, "line 3 is not the one that the ledger knows")
    given.write_bytes(lines(*records[:9]))
    refused(program, service, "the input ends after 9 records")
    given.write_bytes(lines(*records[:3]) + b"\n" + lines(*records[3:]))
    refused(program, service, "line 5 is not the one that the ledger knows")
    given.write_bytes(lines(*records))
    refused(program, service, "skip", options=("--skip=1",))
    assert again(program, service).code == 0
    assert sent(service) == dict.fromkeys(range(1, RECORDS + 1), 1)


def test_nothing_behind_a_changed_line_is_sent(program: Program, service: Raw, silent: Silent, given: Path) -> None:
    """Also where earlier records are still to be sent: they may be, those behind the line may not."""
    kill(program, service)
    silent.release()
    records = [sample(number) for number in range(1, RECORDS + 1)]
    last = max(entry["line"] for entry in read_lines((program.directory / "results.ndjson").read_bytes()))
    given.write_bytes(lines(*records[: last - 1], record(77), *records[last:]))
    before = sent(service)
    done = again(program, service)
    assert done.code == 9
    assert f"line {last} is not the one" in " ".join(done.err.split())
    assert all(number < last for number in sent(service) - before)
    given.write_bytes(lines(*records))
    assert again(program, service).code == 4
    assert all(count == 1 for number, count in sent(service).items() if not safe(number))


def test_the_same_input_elsewhere(program: Program, service: Raw, silent: Silent, given: Path) -> None:
    """What counts is the content: another path, a pipe, and an input that has grown at its end are taken."""
    drain(program, service, silent)
    text = given.read_bytes()
    options = COMMAND[1:]
    piped = program.run(*options, "--endpoint", service.url, "--limit=20", given=text)
    assert piped.code == 0
    assert sent(service) == dict.fromkeys(range(1, 21), 1)
    moved = given.rename(program.directory / "moved.ndjson")
    assert program.run(moved, *options, "--endpoint", service.url).code == 0
    assert sent(service) == dict.fromkeys(range(1, RECORDS + 1), 1)
    with moved.open("ab") as file:
        file.write(lines(sample(RECORDS + 1)))
    assert program.run(moved, *options, "--endpoint", service.url).code == 0
    assert sent(service) == dict.fromkeys(range(1, RECORDS + 2), 1)
    assert size(program.directory / "results.ndjson") == RECORDS + 1


@pytest.mark.usefixtures("given")
def test_a_second_run_at_the_same_time(program: Program, service: Raw, silent: Silent) -> None:
    """It ends with 8 and touches nothing, or waits for the first one's end where it was told to."""
    first = begin(program, service)
    results = (program.directory / "results.ndjson").read_bytes()
    at_once, patient = again(program, service), again(program, service, "--ledger-wait=0.2")
    assert (at_once.code, patient.code) == (8, 8)
    assert "another run" in at_once.err
    assert (program.directory / "results.ndjson").read_bytes() == results
    waiting = program.start(*COMMAND, "--endpoint", service.url, "--ledger-wait=500")
    wait_for_line(waiting.stderr, "waiting")
    silent.release()
    assert program.finish(first).code == 0
    assert program.finish(waiting).code == 0
    assert sent(service) == dict.fromkeys(range(1, RECORDS + 1), 1)
    assert size(program.directory / "results.ndjson") == RECORDS


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_a_ledger(program: Program, service: Raw, number: signal.Signals) -> None:
    """Who waits for another run's end can be told to leave."""
    begin(program, service)
    waiting = program.start(*COMMAND, "--endpoint", service.url, "--ledger-wait=500")
    wait_for_line(waiting.stderr, "waiting")
    waiting.send_signal(number)
    done = program.finish(waiting)
    assert done.code == 6
    assert number.name in done.err
    assert len(service.requests) == ANSWERED + LIMIT


@pytest.mark.usefixtures("given")
def test_another_run(program: Program, service: Raw, silent: Silent) -> None:
    """Another endpoint, order or default is refused with 9, and named."""
    drain(program, service, silent)
    refused(program, service, "endpoint", service.url, options=("--endpoint=http://127.0.0.1:9/other",))
    refused(program, service, "order", "SourceID", options=("--order-by=none",))
    refused(program, service, "defaults", "Outlook", options=("--default=Source=Outlook",))
    assert again(program, service, "--connections=9", "--soap=1.2").code in {0, 4}


@FILES
def test_what_is_no_ledger(program: Program, service: Raw, silent: Silent, given: Path) -> None:
    """A file of another kind, a database of others and a place where none can be made end the run with 9."""
    silent.release()
    folder = program.directory
    (folder / "text").write_text("not a ledger, and long enough to be taken for a page of one\n" * 100)
    with sqlite3.connect(folder / "database") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    for path, word in (
        ("text", "no ledger"),
        ("database", "no ledger"),
        (".", "no ledger"),
        ("missing/ledger", "directory"),
        ("/sys/ledger", "/sys/ledger"),
    ):
        refused(program, service, word, options=(f"--ledger={path}",))
    assert (folder / "text").read_text().startswith("not a ledger")
    refused(program, service, "is INPUT records.ndjson as well", options=(f"--ledger={given}",), code=2)


@pytest.mark.usefixtures("given")
def test_status_of_a_run_that_was_killed(program: Program, service: Raw) -> None:
    """It says when, what had its outcome by then, what may have been sent, and what to do."""
    kill(program, service)
    text = program.run("status", "ledger").out.decode().splitlines()
    told = json.loads(program.run("status", "ledger", "--json").out)
    assert text[0] == "ledger: ledger, no run is writing it"
    assert re.fullmatch(r"last run: began 20[-\d: ]+ \w+, was killed after 20[-\d: ]+ \w+", text[2])
    assert text[3] == f"{ANSWERED} records with an outcome"
    assert text[-1] == "the same command again treats what may have been sent by its --in-doubt, and sends the rest"
    assert (told["run"]["ended"], told["run"]["exit_code"], told["writing"]) == (None, None, False)
    assert LIMIT <= told["open_intents"] <= 3 * LIMIT
    assert f"{told['open_intents']} records without one may have been sent" in text


@pytest.mark.usefixtures("given")
def test_drained_while_nobody_reads_the_results(program: Program, service: Raw, silent: Silent) -> None:
    """A standard output that is full and not read holds up no drain: 6, and the ledger has every outcome."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while _stuff(writing):
        pass
    os.set_blocking(writing, True)
    options = ("--results=-", "--drain-timeout=1000")
    process = program.start(*COMMAND, "--endpoint", service.url, *options, stdout=writing)
    os.close(writing)
    service.wait_for(ANSWERED + LIMIT)
    process.send_signal(signal.SIGTERM)
    wait_for_line(process.stderr, "draining")
    silent.release()
    done = program.finish(process)
    os.close(reading)
    assert done.code == 6, done.err
    before = sent(service)
    assert again(program, service).code == 0
    assert sent(service) == dict.fromkeys(range(1, RECORDS + 1), 1)
    results = read_lines((program.directory / "results.ndjson").read_bytes())
    assert [entry["line"] for entry in results] == list(range(1, RECORDS + 1))
    assert len(before) < RECORDS


@pytest.mark.parametrize("number", [1, 3])
def test_ended_while_nobody_reads_the_results(program: Program, sandbox: Sandbox, given: Path, number: int) -> None:
    """A run that only waits for the reader of its last lines ends on a signal with 6, and tells so in the ledger too.

    So does one that is told three times, at once.
    """
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    options = ("--ledger=ledger", "--summary=summary.json", "--drain-timeout=1000")
    process = program.start(given, "--endpoint", sandbox.url, *options, stdout=writing)
    os.close(writing)
    until(lambda: committed(program) == RECORDS)
    process.send_signal(signal.SIGTERM)
    # While the run ends, most likely; where it has not seen the end of its input yet, it drains and ends just so.
    wait_for_line(process.stderr, "SIGTERM was received")
    for name in (signal.SIGTERM, signal.SIGINT)[: number - 1]:
        process.send_signal(name)
    done = program.finish(process)
    os.close(reading)
    assert done.code == 6, done.err
    assert "the last lines are in the ledger alone" in " ".join(done.err.split())
    assert (told(program)["exit_code"], told(program)["outcomes"]["delivered"]) == (6, RECORDS)
    run = json.loads(program.run("status", "ledger", "--json").out)["run"]
    assert run["exit_code"] == 6
    assert run["ended"] >= run["started"]
    assert len(program.run("results", "ledger").results) == RECORDS


def committed(program: Program) -> int:
    """Records that have their outcome in the ledger."""
    with contextlib.suppress(RunAborted), opened(program.ledger()) as store:
        return sum(store.counts().values())
    return 0


@contextlib.contextmanager
def stuck(program: Program) -> Iterator[None]:
    """Within the block the ledger takes no commit."""
    with tampering(program.ledger()) as rows:
        rows.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.usefixtures("given")
def test_a_ledger_that_takes_nothing(program: Program, service: Raw, silent: Silent) -> None:
    """A ledger that is stuck delays no end that is asked for three times: 9, and the summary says so."""
    process = begin(program, service)
    with stuck(program):
        silent.release()
        for name in (signal.SIGTERM, signal.SIGINT):
            process.send_signal(name)
        wait_for_line(process.stderr, "draining")
        process.send_signal(signal.SIGTERM)
        done = program.finish(process)
        assert done.code == 9, done.err
        assert told(program)["exit_code"] == 9
        # Found out by the run, or by its writer, whose own patience with a lock is some seconds.
        assert re.search(r"was received; the ledger\b.* cannot be written", told(program)["reason"])
    until(lambda: not is_written(program.ledger()))
    assert again(program, service).code in {0, 4}
    assert {entry["line"] for entry in read_lines((program.directory / "results.ndjson").read_bytes())} == set(
        range(1, RECORDS + 1)
    )


def _stuff(pipe: int) -> bool:
    try:
        return os.write(pipe, bytes(4096)) > 0
    except BlockingIOError:
        return False


@FILES
@pytest.mark.usefixtures("given")
def test_a_ledger_that_cannot_grow(program: Program, service: Raw, silent: Silent) -> None:
    """A disk that is full in the middle of a run ends it with 9; what is in flight is in doubt, the ledger whole."""
    process = begin(program, service)
    room = max((program.directory / name).stat().st_size for name in ("ledger", "ledger-wal"))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, room))
    silent.release()
    done = program.finish(process)
    assert done.code == 9
    assert "the ledger" in done.err
    before = sent(service)
    assert sum(before.values()) <= ANSWERED + 3 * LIMIT
    assert again(program, service).code == 4
    results = read_lines((program.directory / "results.ndjson").read_bytes())
    assert [entry["line"] for entry in results] == list(range(1, RECORDS + 1))
    held = {entry["line"] for entry in results if entry["outcome"] == "in_doubt"}
    assert held <= {number for number in before if not safe(number)} | set(range(1, ANSWERED + 3 * LIMIT + 1))
    assert all(count == 1 for number, count in sent(service).items() if not safe(number))


@FILES
@pytest.mark.usefixtures("given")
def test_a_ledger_that_is_gone_at_the_end(program: Program, service: Raw, silent: Silent) -> None:
    """A file that somebody has deleted under a run is told with 9, and no empty one is put in its place."""
    process = begin(program, service)
    for path in program.directory.glob("ledger*"):
        path.unlink()
    silent.release()
    done = program.finish(process)
    assert done.code == 9, done.err
    assert "there is no ledger" in " ".join(done.err.split())
    assert (told(program)["exit_code"], told(program)["outcomes"]["delivered"]) == (9, RECORDS)
    assert not (program.directory / "ledger").exists()


def test_results_that_cannot_be_written(program: Program, service: Raw, silent: Silent, given: Path) -> None:
    """A reader that has gone ends the run with 9; the ledger still takes what is in flight, so nothing is in doubt."""
    count = 10 * RECORDS  # far more than are sent until the next line is written
    given.write_bytes(lines(*(sample(number) for number in range(1, count + 1))))
    process = program.start(*COMMAND, "--endpoint", service.url, "--results=-")
    service.wait_for(ANSWERED + LIMIT)
    assert process.stdout is not None
    for _ in range(ANSWERED):
        process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    silent.release()
    done = program.finish(process)
    assert done.code == 9
    assert "standard output was closed by its reader" in " ".join(done.err.split())
    before = sent(service)
    assert len(before) < count
    assert again(program, service).code == 0
    assert sent(service) == dict.fromkeys(range(1, count + 1), 1)
    results = read_lines((program.directory / "results.ndjson").read_bytes())
    assert sorted((entry["line"], entry["outcome"]) for entry in results) == [
        (number, "delivered") for number in range(1, count + 1)
    ]


def test_twenty_kills(tmp_path: Path) -> None:
    """Killed twenty times while faults are on: nothing is lost, nothing is doubled, nothing else is broken."""
    tally = torture(records=RECORDS_TO_KILL, kills=20, seed=11, folder=tmp_path)
    assert tally.kills == 20
    assert tally.widest > 0
    assert (tally.lost, tally.doubled, tally.broken) == ([], [], [])
    assert sum(tally.outcomes.values()) == RECORDS_TO_KILL


def test_ten_kills_with_a_database_that_is_restarted(tmp_path: Path, postgresql: Server) -> None:
    """The same where the ledger is in PostgreSQL, which also breaks down in mid-run."""
    with Served(postgresql, lease=5) as database:  # the database has twice that to come back in
        tally = torture(records=2 * RECORDS_TO_KILL, kills=10, seed=5, folder=tmp_path, database=database)
    assert tally.kills == 10
    assert tally.restarts > 0
    assert (tally.lost, tally.doubled, tally.broken) == ([], [], [])
    assert sum(tally.outcomes.values()) == 2 * RECORDS_TO_KILL
