from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import batcher
from batcher.cli import options_markdown

ROOT = Path(__file__).parent.parent
PROGRAM = (sys.executable, "-m", "batcher")


def start(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VEETRO_BATCH_")}
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env={**kept, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_version() -> None:
    """--version prints name and version on standard output."""
    done = start("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"veetro-batch {batcher.__version__}\n", "")


def test_usage_errors_are_the_process_exit_code() -> None:
    """What main returns is what the shell sees."""
    done = start("--tiemout", "3")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "did you mean --timeout?" in done.stderr


def test_show_config_names_flag_environment_and_default() -> None:
    """The origin of every setting is told, and a secret is not."""
    done = start(
        "--endpoint", "https://acme/xml", "--show-config", VEETRO_BATCH_EMAIL="a", VEETRO_BATCH_PASSWORD="hunter2"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'email = "a"  # from environment VEETRO_BATCH_EMAIL\n' in done.stdout
    assert "connections = 64  # from default\n" in done.stdout
    assert "hunter2" not in done.stdout


def test_a_terminal_without_input_gets_help() -> None:
    """With nobody piping records in, the program ends with a hint instead of waiting."""
    theirs, ours = pty.openpty()
    try:
        done = subprocess.run(PROGRAM, cwd=ROOT, stdin=ours, capture_output=True, text=True, check=False)
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "name a file, or pipe records in" in done.stderr


def test_a_closed_standard_output_ends_help_quietly() -> None:
    """``veetro-batch --help | head -1`` complains of nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*PROGRAM, "--help"], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_readme_lists_the_options_as_they_are() -> None:
    """The table in the README is the one that the options make; ``options_markdown`` prints it anew."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- options -->\n(.*?)<!-- /options -->", readme, re.DOTALL)
    assert found is not None, "README.md has no <!-- options --> and <!-- /options -->"
    assert found[1].strip() == options_markdown().strip()
