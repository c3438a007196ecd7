"""Terminals: what is drawn on them, what is kept off them, and who is not kept waiting by them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import threading

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.program import Program, lines, many, read_lines, record


class Terminal:
    """A terminal; the program's end is *ours*, and what it writes there is *text* once it is closed."""

    def __init__(self) -> None:
        self._theirs, self.ours = pty.openpty()
        self._written = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
            while piece := os.read(self._theirs, 65536):
                self._written += piece

    def text(self) -> str:
        """All that was written, once the program has ended."""
        os.close(self.ours)
        self._reader.join()
        os.close(self._theirs)
        return self._written.decode()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_results_stay_off_the_terminal(program: Program, sandbox: Sandbox, terminal: Terminal) -> None:
    """With a terminal on standard output the results go to a file of the run's own, which the summary names."""
    done = program.finish(program.start("--endpoint", sandbox.url, given=many(3), stdout=terminal.ours))
    assert (done.code, terminal.text()) == (0, "")
    (path,) = program.directory.iterdir()
    assert re.fullmatch(r"veetro-results-[0-9TZ-]+\.ndjson", path.name)
    assert path.name in done.err
    assert len(read_lines(path.read_bytes())) == 3
    assert path.stat().st_mode & 0o777 == 0o600


def test_live_view(program: Program, sandbox: Sandbox, terminal: Terminal) -> None:
    """On a terminal progress is drawn and the cursor comes back; the results on standard output hold none of it."""
    arguments = ("--endpoint", sandbox.url)
    process = program.start(*arguments, given=many(3), stderr=terminal.ours, environ={"TERM": "xterm"})
    done = program.finish(process)
    text = terminal.text()
    assert (done.code, len(done.results)) == (0, 3)
    assert "\x1b[?25l" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "finished (exit 0)" in text
    assert "Traceback" not in text


QUIET: tuple[tuple[tuple[str, ...], dict[str, str], bool], ...] = (
    (("--progress=off",), {"TERM": "xterm"}, False),
    (("--progress=plain",), {"TERM": "xterm"}, False),
    ((), {"TERM": "dumb"}, False),
    ((), {"TERM": "xterm", "NO_COLOR": "1"}, True),
)
"""Options, environment, and whether the cursor is moved all the same."""


def test_quieter_views(program: Program, sandbox: Sandbox) -> None:
    """--progress, a dumb terminal and NO_COLOR are honoured; the summary comes in any case."""
    begun = []
    for options, environ, _ in QUIET:
        terminal = Terminal()
        arguments = ("--endpoint", sandbox.url, *options)
        given = lines(record(1), {})
        begun.append((terminal, program.start(*arguments, given=given, stderr=terminal.ours, environ=environ)))
    for (terminal, process), (_, _, moved) in zip(begun, QUIET, strict=True):
        code = program.finish(process).code
        text = terminal.text()
        assert code == 3
        assert re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|[34]8)[0-9;]*m", text) is None
        assert ("\x1b[?25" in text) is moved
        assert "(exit 3)" in text


def test_no_input_and_a_terminal(program: Program, terminal: Terminal) -> None:
    """With no INPUT and a terminal on standard input there is help instead of waiting."""
    begun = [program.start(*words, stdin=terminal.ours) for words in ((), ("check",), ("render",))]
    done = [program.finish(process) for process in begun]
    terminal.text()
    assert [(run.code, run.out) for run in done] == [(2, b"")] * 3
    for run in done:
        assert "usage:" in run.err
        assert "name a file, or pipe records in" in run.err


def test_logs_as_json(program: Program) -> None:
    """--log-format json makes each line on standard error an event, and --log-level leaves out the lesser."""
    options = ("--endpoint=http://127.0.0.1:9/xml", "--max-outage=0.2", "--progress=off", "--log-format=json")
    done = program.run(*options, given=many(2))
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [(event["level"], event["event"]) for event in events] == [
        ("warning", "paused"),
        ("warning", "draining"),
        ("info", "summary"),
    ]
    assert all(event["time"].endswith("Z") for event in events)
    assert "Connection refused" in events[0]["detail"]
    assert (events[2]["exit_code"], events[2]["outcomes"]["unsent"]) == (7, 2)
    assert any("run the same command again" in text or "submit again" in text for text in events[2]["advice"])
    silent = program.run(*options, "--log-level=error", given=many(2))
    assert [json.loads(line)["event"] for line in silent.err.splitlines()] == ["summary"], "it is told at every level"
    (failed,) = program.run("missing", *options).err.splitlines()
    assert (told := json.loads(failed))["event"] == "failed"
    assert (told["level"], "missing: No such file" in told["detail"]) == ("error", True)
