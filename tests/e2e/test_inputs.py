"""Inputs that cannot be read, or not to their end."""

from __future__ import annotations

import gzip

from batcher.sandbox import Sandbox
from tests.e2e.program import Program, many, read_lines


def test_not_readable(program: Program, sandbox: Sandbox) -> None:
    """A missing file or a folder among the inputs ends the run with 9 before anything is sent, and is named."""
    (program.directory / "good").write_bytes(many(3))
    begun = {path: program.start("--endpoint", sandbox.url, "good", path) for path in ("missing", ".")}
    for path, process in begun.items():
        done = program.finish(process)
        assert (done.code, done.out) == (9, b"")
        assert done.err.startswith("veetro-batch: error: ")
        assert path in done.err
    assert sandbox.stats().requests == 0


def test_cut_short(program: Program, sandbox: Sandbox) -> None:
    """A truncated gzip, by name and on standard input: its whole lines are delivered, then the run ends with 9."""
    whole = gzip.compress(many(200))
    (program.directory / "cut.gz").write_bytes(whole[: len(whole) // 2])
    by_name = ("cut.gz", "--endpoint", sandbox.url, "--summary=summary.json")
    streamed = ("--endpoint", sandbox.url)
    for done in program.run_each([(by_name, b""), (streamed, whole[: len(whole) // 2])]):
        assert done.code == 9
        count = len(done.results)
        assert 50 < count < 150
        assert [entry["line"] for entry in done.results] == list(range(1, count + 1))
        assert done.outcomes == {"delivered": count}
        assert f"line {count}" in done.err
        assert sandbox.stats().applied.keys() == {f"S-{number}" for number in range(1, count + 1)}


def test_a_later_input_cut_short(program: Program, sandbox: Sandbox) -> None:
    """Which input was cut is told, and all before it is delivered."""
    (program.directory / "one").write_bytes(many(5))
    (program.directory / "two.gz").write_bytes(gzip.compress(many(5))[:-3])
    done = program.run("one", "two.gz", "--endpoint", sandbox.url, "--results=results")
    assert done.code == 9
    assert "two.gz" in done.err
    results = read_lines((program.directory / "results").read_bytes())
    assert sorted((entry["input"], entry["line"]) for entry in results)[:5] == [("one", line) for line in range(1, 6)]


def test_rubbish_behind_gzip(program: Program, sandbox: Sandbox) -> None:
    """What follows a gzip stream and is none is an input that cannot be read to its end."""
    done = program.run("--endpoint", sandbox.url, given=gzip.compress(many(2)) + b"rubbish")
    assert (done.code, done.outcomes) == (9, {"delivered": 2})
