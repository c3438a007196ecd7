"""Where results go, and what happens where they cannot go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.conftest import StartSandbox
from tests.e2e.program import COMMAND, ROOT, Program, lines, many, read_lines, record


def test_closed_standard_output(program: Program, start_sandbox: StartSandbox) -> None:
    """``| head -1``: the run ends quietly with 9, long before it has sent everything."""
    sandbox = start_sandbox(latency=0.005)
    (program.directory / "records.ndjson").write_bytes(many(5000))
    process = program.start("records.ndjson", "--endpoint", sandbox.url, "--connections=8", "--progress=off")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"line":')
    process.stdout.close()
    process.stdout = None
    done = program.finish(process)
    assert done.code == 9
    assert "standard output was closed by its reader" in done.err
    assert sum(sandbox.stats().applied.values()) < 5000


@pytest.mark.parametrize(("command", "given"), [("render", many(5000)), ("check", b"{}\n" * 5000)])
def test_closed_standard_output_of_what_sends_nothing(program: Program, command: str, given: bytes) -> None:
    """``check`` and ``render`` end as a run does, and do not speak of sending."""
    (program.directory / "records.ndjson").write_bytes(given)
    process = program.start(command, "records.ndjson")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    done = program.finish(process)
    assert done.code == 9
    assert done.err.splitlines()[-1] == "veetro-batch: error: standard output was closed by its reader"


def test_paths_that_cannot_be_written(program: Program, sandbox: Sandbox) -> None:
    """A missing folder or a folder of that name ends the run with 9 before anything is sent, and is named."""
    directory = str(program.directory)
    options = [
        ("--results", "missing/file"),
        ("--results", directory),
        ("--rejects", directory),
        ("--summary", "missing/file"),
    ]
    done = program.run_each((("--endpoint", sandbox.url, *option), many(3)) for option in options)
    for run, (_, path) in zip(done, options, strict=True):
        assert run.code == 9
        assert path in run.err
    assert sandbox.stats().requests == 0


def test_full_disk(program: Program, sandbox: Sandbox) -> None:
    """A disk that is full ends the run with 9, and the reason is told."""
    given = {"--results": many(3), "--rejects": b"{}\n", "--summary": many(1)}
    for done in program.run_each(
        (("--endpoint", sandbox.url, option, "/dev/full"), text) for option, text in given.items()
    ):
        assert done.code == 9
        assert "/dev/full cannot be written: No space left on device" in " ".join(done.err.split())
        assert "(exit 9)" in done.err


def test_full_disk_behind_standard_output(program: Program, sandbox: Sandbox) -> None:
    """The same where the shell opened the file."""
    with Path("/dev/full").open("wb") as full:
        done = program.finish(program.start("--endpoint", sandbox.url, given=many(3), stdout=full))
    assert done.code == 9
    assert "standard output cannot be written: No space left on device" in " ".join(done.err.split())


def test_an_input_by_another_name(program: Program, sandbox: Sandbox) -> None:
    """Nothing is written to a file that is read, be it by a link or by the shell's redirections: 2, and it is whole."""
    given = program.directory / "records"
    given.write_bytes(many(3))
    (program.directory / "link").symlink_to(given)
    options = ("--endpoint", sandbox.url)
    with given.open("rb") as reading, given.open("ab") as appending:
        begun = [
            program.start("records", *options, "--results=link"),
            program.start("records", *options, "--rejects=link"),
            program.start("records", *options, "--summary=link"),
            program.start(*options, "--results=records", stdin=reading),
            program.start("records", *options, stdout=appending),
        ]
        done = [program.finish(process) for process in begun]
    for run in done:
        assert (run.code, run.out) == (2, b"")
        assert "is the same file as INPUT" in run.err
    assert given.read_bytes() == many(3)
    assert sandbox.stats().requests == 0


@pytest.mark.parametrize("option", ["results", "rejects", "summary", "report", "metrics-file"])
@pytest.mark.parametrize("name", ["soft", "./ledger-wal", "ledger-shm", "ledger.lock"])
def test_an_output_that_is_the_ledger_by_another_name(
    program: Program, sandbox: Sandbox, option: str, name: str
) -> None:
    """A slip of the hand does not cost the ledger, nor a file that SQLite keeps beside it: 2, and it is whole."""
    (program.directory / "records").write_bytes(many(3))
    command = ("records", "--endpoint", sandbox.url, "--ledger=ledger")
    assert program.run(*command, "--results=none").code == 0
    (program.directory / "soft").symlink_to("ledger")
    before = (program.directory / "ledger").read_bytes()
    done = program.run(*command, *(["--results=none"] if option != "results" else []), f"--{option}={name}")
    assert (done.code, f"--{option}: {name} is the ledger, which would be lost" in done.err) == (2, True)
    assert (program.directory / "ledger").read_bytes() == before


@pytest.mark.parametrize(("first", "second"), [("results", "rejects"), ("results", "summary"), ("rejects", "report")])
def test_two_outputs_that_are_one_file(program: Program, sandbox: Sandbox, first: str, second: str) -> None:
    """One would be written over the other, by a link too, also where the file is yet to be made: 2, nothing is sent."""
    (program.directory / "link").symlink_to("file")
    done = [program.run("--endpoint", sandbox.url, f"--{first}=file", f"--{second}=link", given=many(1))]
    (program.directory / "file").touch()
    (program.directory / "hard").hardlink_to(program.directory / "file")
    done += [
        program.run("--endpoint", sandbox.url, f"--{first}=file", f"--{second}={name}", given=many(1))
        for name in ("link", "hard")
    ]
    said = [run.err.partition(f"--{second}: ")[2].partition(";")[0] for run in done]
    assert [run.code for run in done] == [2] * 3
    assert said == [f"{name} is the same file as --{first}" for name in ("link", "link", "hard")]
    assert sandbox.stats().requests == 0
    null = program.run("--endpoint", sandbox.url, "--results=/dev/null", "--rejects=/dev/null", given=many(1))
    assert null.code == 0


def test_an_input_that_is_given_twice(program: Program, sandbox: Sandbox) -> None:
    """Its new records would be created twice and told apart by nothing: 2, by whatever name, and nothing is sent."""
    given = program.directory / "records"
    given.write_bytes(many(3))
    (program.directory / "link").symlink_to(given)
    (program.directory / "hard").hardlink_to(given)
    (program.directory / "copy").write_bytes(many(3))
    options = ("--endpoint", sandbox.url)
    with given.open("rb") as reading:
        begun = [
            program.start("records", "copy", "records", *options),
            program.start("records", "./records", *options),
            program.start("records", "link", *options, "--ledger=ledger"),
            program.start("hard", "records", *options),
            program.start("records", "-", *options, stdin=reading),
            program.start("check", "records", "link"),
        ]
        done = [program.finish(process) for process in begun]
    assert [(run.code, run.out) for run in done] == [(2, b"")] * 6
    said = [run.err.partition("INPUT: ")[2].partition(";")[0] for run in done]
    assert said == [
        "records is named twice",
        "./records is the same file as records",
        "link is the same file as records",
        "records is the same file as hard",
        "- is the same file as records",
        "link is the same file as records",
    ]
    assert sandbox.stats().requests == 0
    equal = program.run("records", "copy", *options)
    assert (equal.code, len(equal.results)) == (0, 6)


def test_no_results(program: Program, sandbox: Sandbox) -> None:
    """--results none writes no result lines, and the rejects still come."""
    done = program.run("--endpoint", sandbox.url, "--results=none", "--rejects=rejects", given=lines(record(1), {}))
    assert (done.code, done.out) == (3, b"")
    assert [entry["line"] for entry in read_lines((program.directory / "rejects").read_bytes())] == [2]
    assert list(program.directory.iterdir()) == [program.directory / "rejects"]


def test_a_pipe_of_results_by_name(program: Program, sandbox: Sandbox) -> None:
    """A named pipe takes results, and is not cut or made somebody's own."""
    pipe = program.directory / "pipe"
    os.mkfifo(pipe, 0o644)
    process = program.start("--endpoint", sandbox.url, "--results=pipe", given=many(3))
    assert len(read_lines(pipe.read_bytes())) == 3
    assert program.finish(process).code == 0
    assert pipe.stat().st_mode & 0o777 == 0o644


def test_standard_streams_that_are_closed(program: Program, sandbox: Sandbox) -> None:
    """Without standard error the results come all the same; without standard output nothing is sent: 9."""

    def run(redirection: str) -> tuple[int, bytes]:
        done = subprocess.run(
            ["sh", "-c", f'"$@" {redirection}', "sh", *COMMAND, "--endpoint", sandbox.url],
            cwd=program.directory,
            env={"PYTHONPATH": str(ROOT)},
            input=many(3),
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout

    code, out = run("2>&-")
    assert (code, len(read_lines(out))) == (0, 3)
    assert sandbox.stats().requests == 3
    assert run(">&-") == (9, b"")
    assert sandbox.stats().requests == 3


def test_new_records_without_a_ledger(program: Program, sandbox: Sandbox) -> None:
    """Who sends what must not be sent twice, and keeps no ledger, is warned once; the others are not."""
    warned = program.run("--endpoint", sandbox.url, given=many(20, ImportSyncRecordID=0))
    safe = program.run("--endpoint", sandbox.url, given=many(20, ImportSyncRecordID=7))
    kept = program.run("--endpoint", sandbox.url, "--ledger=kept", given=many(20, ImportSyncRecordID=0))
    assert [run.code for run in (warned, safe, kept)] == [0, 0, 0]
    assert [run.err.count("no_ledger") for run in (warned, safe, kept)] == [1, 0, 0]
