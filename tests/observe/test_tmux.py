"""The live view on a terminal that somebody really looks at: tmux draws it, and tells what it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.program import ROOT, many, read_lines
from tests.e2e.servers import Background

PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Answers well."""
    with Background() as background, background.sandbox() as running:
        yield running


class Screen:
    """A terminal of a given width, in which *command* runs."""

    def __init__(self, directory: Path, width: int, command: str) -> None:
        self._tmux = ["tmux", "-u", "-S", str(directory / "socket"), "-f", os.devnull]
        self._do("new-session", "-d", "-x", str(width), "-y", "40", "-c", str(directory), command)

    def _do(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout

    def lines(self) -> list[str]:
        """What it shows now, lines without their blank ends, up to the last that holds something."""
        return [line.rstrip() for line in self._do("capture-pane", "-p").rstrip().splitlines()]

    def until(self, right: Callable[[list[str]], bool]) -> list[str]:
        """Look again and again until what it shows is *right*; that."""
        deadline = time.monotonic() + PATIENCE_S
        while not right(lines := self.lines()):
            assert time.monotonic() < deadline, lines
        return lines

    def close(self) -> None:
        """End what runs in it."""
        self._do("kill-server")


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}])
def test_the_view_on_a_real_screen(tmp_path: Path, sandbox: Sandbox, width: int, environ: dict[str, str]) -> None:
    """No line is broken at any width, the view leaves nothing behind, and result lines are whole."""
    if shutil.which("tmux") is None:
        reason = "not installed: tmux (packages: tests/observe/apt-packages.txt)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    os.mkfifo(tmp_path / "input")
    variables = " ".join(f"{name}={value}" for name, value in environ.items())
    command = (
        # Readline, which pytest loads, tells all children that the terminal has 80 columns.
        f"env -u COLUMNS -u LINES PYTHONPATH={ROOT} {variables} {sys.executable} -m batcher input"
        f" --endpoint {sandbox.url} --results results; touch ended; cat"
    )
    screen = Screen(tmp_path, width, command)
    try:
        with (tmp_path / "input").open("wb") as given:
            given.write(many(50) + b"{}\n")
            given.flush()
            host = sandbox.url.split("/")[2]

            def right(shown: list[str]) -> bool:
                """Whether all is there, once and whole: it may be looked at while tmux draws it anew."""
                titles = [line for line in shown if line.startswith(f"veetro-batch to {host}")]
                return (
                    [len(title) for title in titles] == [width]
                    and sum("delivered 50  rejected 0  invalid 1" in line for line in shown) == 1
                    and sum(line.startswith("51 of 51 read") for line in shown) == 1
                    and sum("in flight 0 of" in line for line in shown) == 1
                    and any(line.strip().startswith("1  missing_field (line 51)") for line in shown)
                )

            screen.until(right)
        after = screen.until(lambda lines: (tmp_path / "ended").exists() and any("(exit 3)" in line for line in lines))
        assert after[0].startswith("veetro-batch finished, some records were rejected or invalid (exit 3)")
        assert not any("in flight" in line for line in after)
    finally:
        screen.close()
    assert len(read_lines((tmp_path / "results").read_bytes())) == 51
