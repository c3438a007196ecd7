"""SIGINT and SIGTERM: the first one drains, the second one leaves, and either way every line is accounted for."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.conftest import StartRaw
from tests.e2e.program import PATIENCE_S, ROOT, Done, Program, lines, many, read_lines, record, wait_for_line
from tests.e2e.servers import Background, Held, Raw, Request, http

IN_FLIGHT = 4
GIVEN = 40


@pytest.fixture
def held(background: Background) -> Held:
    """What the service answers with, once it is told to."""
    return Held(background)


@pytest.fixture
def service(start_raw: StartRaw, held: Held) -> Raw:
    return start_raw(held)


def begin(program: Program, service: Raw, *options: str) -> subprocess.Popen[bytes]:
    """A run with some requests in flight, records waiting, and an input that does not end."""
    process = program.start("--endpoint", service.url, f"--concurrency={IN_FLIGHT}", *options)
    assert process.stdin is not None
    process.stdin.write(many(GIVEN, ImportSyncRecordID=0))
    process.stdin.flush()
    service.wait_for(IN_FLIGHT)
    return process


def accounted(done: Done, service: Raw) -> None:
    """Every line that was read has its result; what was not sent is unsent; it is told where reading ended."""
    count = len(done.results)
    assert [entry["line"] for entry in done.results] == list(range(1, count + 1))
    rest = done.results[IN_FLIGHT:]
    assert {(entry["outcome"], entry["attempts"], entry["error"]["kind"]) for entry in rest} == {
        ("unsent", 0, "interrupted")
    }
    assert len(service.requests) == IN_FLIGHT
    assert f"line {count}" in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_drains(program: Program, service: Raw, held: Held, number: signal.Signals) -> None:
    """After a signal nothing more is sent, what is in flight is finished, and the exit code is 6."""
    process = begin(program, service)
    process.send_signal(number)
    wait_for_line(process.stderr, "draining")
    held.release()
    done = program.finish(process)
    assert done.code == 6
    assert number.name in done.err
    assert done.outcomes == {"delivered": IN_FLIGHT, "unsent": len(done.results) - IN_FLIGHT}
    accounted(done, service)


@pytest.mark.parametrize("options", [(), ("--drain-timeout=0.2",)])
def test_second_signal_leaves(program: Program, service: Raw, options: tuple[str, ...]) -> None:
    """A second signal, or the end of the drain timeout, leaves what is in flight in doubt."""
    process = begin(program, service, *options)
    process.send_signal(signal.SIGTERM)
    if not options:
        wait_for_line(process.stderr, "draining")
        process.send_signal(signal.SIGTERM)
    done = program.finish(process)
    assert done.code == 6
    assert done.outcomes == {"in_doubt": IN_FLIGHT, "unsent": len(done.results) - IN_FLIGHT}
    assert {(entry["attempts"], entry["error"]["kind"]) for entry in done.results[:IN_FLIGHT]} == {(1, "timeout")}
    accounted(done, service)


def test_silent_input(program: Program, sandbox: Sandbox) -> None:
    """A run that waits for a pipe in which nothing comes ends at once."""
    process = program.start("--endpoint", sandbox.url)
    assert process.stdin is not None
    process.stdin.write(lines(record(1)) + b'{"begun":')
    process.stdin.flush()
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 6
    assert set(sandbox.stats().applied) == {"S-1"}


def test_dead_service(program: Program) -> None:
    """A run that pauses because its service is down ends at once, its records unsent; 6 goes before 3."""
    process = program.start("--endpoint=http://127.0.0.1:9/xml")
    assert process.stdin is not None
    process.stdin.write(b"{}\n" + many(GIVEN))
    process.stdin.flush()
    wait_for_line(process.stderr, "paused")
    process.send_signal(signal.SIGINT)
    done = program.finish(process)
    assert (done.code, done.outcomes) == (6, {"invalid": 1, "unsent": len(done.results) - 1})
    assert {entry["error"]["kind"] for entry in done.results[1:]} == {"interrupted"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_nobody_reads_the_results(program: Program, sandbox: Sandbox, number: int) -> None:
    """A reader who has stopped delays no end: the drain timeout or a second signal is the last word, and 9 its code.

    A third signal waits for no line. The run tells of itself as any other.
    """
    patience = "--drain-timeout=0.1" if number == 1 else "--drain-timeout=1000"
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    told = ("--summary=summary.json", "--report=report.html")
    process = program.start("--endpoint", sandbox.url, patience, *told, given=many(100), stdout=writing)
    while _has_room(writing):
        time.sleep(0.01)
    os.close(writing)
    process.send_signal(signal.SIGTERM)
    wait_for_line(process.stderr, "SIGTERM was received")
    for name in (signal.SIGTERM, signal.SIGINT)[: number - 1]:  # two of one name may come as one
        process.send_signal(name)
    done = program.finish(process)
    os.close(reading)
    assert done.code == 9
    said = " ".join(done.err.split())
    assert "(exit 9)" in said
    assert "nobody reads the results: the last lines are lost" in said
    through = re.search("Read up to line ([0-9]+)", said)
    assert through is not None
    summary = json.loads((program.directory / "summary.json").read_bytes())
    assert summary["exit_code"] == 9
    assert sum(summary["outcomes"].values()) == int(through[1])
    assert (program.directory / "report.html").read_bytes().rstrip().endswith(b"</html>")


def _has_room(pipe: int) -> bool:
    """Whether another page may be written: what is in the pipe may fill less than it holds, yet block the next."""
    return bool(select.select([], [pipe], [], 0)[1])


def test_waits_delay_no_drain(program: Program, start_raw: StartRaw) -> None:
    """Neither the pause that the server asked for nor a record's own back-off is waited for."""

    async def say(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http("503 Service Unavailable", b"", "Retry-After: 900"))

    service = start_raw(say)
    process = program.start("--endpoint", service.url, "--drain-timeout=1000")
    assert process.stdin is not None
    process.stdin.write(many(GIVEN))
    process.stdin.flush()
    wait_for_line(process.stderr, "paused")
    process.send_signal(signal.SIGTERM)
    done = program.finish(process)
    assert (done.code, done.outcomes) == (6, {"unsent": len(done.results)})
    assert {entry["error"]["kind"] for entry in done.results} == {"interrupted"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_results_pipe_without_a_reader(program: Program, sandbox: Sandbox, number: signal.Signals) -> None:
    """A run that waits for the reader of its results says so, and a signal ends it before anything is sent."""
    os.mkfifo(program.directory / "pipe")
    process = program.start("--endpoint", sandbox.url, "--results=pipe")
    wait_for_line(process.stderr, "waiting for somebody to read pipe")
    process.send_signal(number)
    done = program.finish(process, many(2))
    assert done.code == 6
    assert number.name in done.err
    assert sandbox.stats().requests == 0


def test_a_results_pipe_whose_reader_comes_late(program: Program, sandbox: Sandbox) -> None:
    """It gets every line."""
    os.mkfifo(program.directory / "pipe")
    process = program.start("--endpoint", sandbox.url, "--results=pipe")
    wait_for_line(process.stderr, "waiting for somebody to read pipe")
    assert process.stdin is not None
    process.stdin.write(many(GIVEN))
    process.stdin.close()
    results = read_lines((program.directory / "pipe").read_bytes())
    assert program.finish(process).code == 0
    assert [entry["outcome"] for entry in results] == ["delivered"] * GIVEN


_KILL_WHEN_LOADING = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{number})

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["batcher.cli", "batcher.settings", "batcher.flow.gate"])
def test_a_signal_while_the_program_is_loaded(program: Program, number: str, module: str) -> None:
    """It ends as quietly as later, with the same exit code."""
    (program.directory / "sitecustomize.py").write_text(_KILL_WHEN_LOADING.format(module=module, number=number))
    path = os.pathsep.join(map(str, (program.directory, ROOT)))
    done = program.run("--endpoint=http://127.0.0.1:9/xml", given=many(1), environ={"PYTHONPATH": path})
    assert (done.code, done.out, done.err) == (6, b"", "veetro-batch: interrupted\n")


def test_a_terminal_s_interrupt(program: Program, service: Raw, held: Held) -> None:
    """Ctrl-C on a terminal that also is standard input interrupts a run that waits for typing."""
    theirs, ours = pty.openpty()
    try:
        process = program.start("-", "--endpoint", service.url, stdin=ours)
        os.write(theirs, lines(record(1)))
        service.wait_for(1)
        held.release()
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 6
    finally:
        os.close(theirs)
        os.close(ours)
