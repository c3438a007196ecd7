"""SIGINT and SIGTERM: the first one drains, the second one leaves, and either way every line is accounted for."""

from __future__ import annotations

import array
import fcntl
import os
import pty
import signal
import subprocess
import termios
import time

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.conftest import StartRaw
from tests.e2e.program import Done, Program, lines, many, record, wait_for_line
from tests.e2e.servers import Background, Held, Raw

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
    assert process.wait(30) == 6
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


def test_nobody_reads_the_results(program: Program, sandbox: Sandbox) -> None:
    """A second signal also ends a run that waits for the reader of its results; 9 says that lines are missing."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = program.start("--endpoint", sandbox.url, stdout=writing)
    os.close(writing)
    assert process.stdin is not None
    process.stdin.write(many(100))
    process.stdin.close()
    while _to_be_read(reading) < size:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    wait_for_line(process.stderr, "SIGTERM was received")
    process.send_signal(signal.SIGTERM)
    done = program.finish(process)
    os.close(reading)
    assert done.code == 9
    assert "nobody reads the results" in done.err


def _to_be_read(pipe: int) -> int:
    answer = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, answer)
    return answer[0]


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
        assert process.wait(30) == 6
    finally:
        os.close(theirs)
        os.close(ours)
