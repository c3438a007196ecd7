"""Paths of names that are no text, and places where no ledger can be."""

from __future__ import annotations

import json
import os

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.program import Program, lines, many, read_lines, record

ODD = os.fsdecode(b"caf\xe9")
"""A name in Latin-1, as old archives have them; shown, it is not what it is."""
SHOWN = "caf\ufffd"


def test_an_input_whose_name_is_no_text(program: Program, sandbox: Sandbox) -> None:
    """Result and rejects lines, summary and report name it as well as text can."""
    (program.directory / ODD).write_bytes(many(2) + b"{}\n")
    (program.directory / "more").write_bytes(lines(record(3)))
    options = ("--endpoint", sandbox.url, "--summary=summary", "--rejects=rejects", "--report=report.html")
    done = program.run(ODD, "more", *options, "--log-format=json")
    assert done.code == 3
    assert sorted((entry["input"], entry["line"]) for entry in done.results) == [
        *((SHOWN, line) for line in (1, 2, 3)),
        ("more", 1),
    ]
    rejects = read_lines((program.directory / "rejects").read_bytes())
    assert [(entry["input"], entry["line"]) for entry in rejects] == [(SHOWN, 3)]
    assert SHOWN in (program.directory / "summary").read_text()
    assert f"{SHOWN}, more" in (program.directory / "report.html").read_text()
    (problem,) = json.loads(done.err)["problems"]
    assert (problem["input"], problem["line"]) == (SHOWN, 3)


@pytest.mark.parametrize("ledger", [(), (f"--ledger=ledger-{ODD}",)], ids=["", "ledger"])
def test_files_whose_names_are_no_text(program: Program, sandbox: Sandbox, ledger: tuple[str, ...]) -> None:
    """All files that a run writes may have such names; with a ledger the results are continued under them."""
    (program.directory / ODD).write_bytes(many(3) + b"{}\n")
    (program.directory / "more").write_bytes(lines(record(4)))
    names = ("results", "rejects", "summary", "report", "metrics-file")
    command = (ODD, "more", "--endpoint", sandbox.url, *(f"--{name}={name}-{ODD}" for name in names), *ledger)
    for _ in range(2):
        done = program.run(*command)
        assert (done.code, done.out) == (3, b"")
        assert f"results-{SHOWN}" in done.err
        assert len(read_lines((program.directory / f"results-{ODD}").read_bytes())) == 5
        assert len(read_lines((program.directory / f"rejects-{ODD}").read_bytes())) == 1
        summary = json.loads((program.directory / f"summary-{ODD}").read_bytes())
        assert summary["files"]["results"] == f"results-{SHOWN}"
        assert f"results-{SHOWN}" in (program.directory / f"report-{ODD}").read_text()
    assert set(sandbox.stats().applied.values()) == ({1} if ledger else {2})


def test_a_ledger_whose_name_is_no_text(program: Program, sandbox: Sandbox) -> None:
    """Every command that takes a ledger takes it."""
    (program.directory / ODD).write_bytes(many(3) + b"{}\n")
    (program.directory / "more").write_bytes(lines(record(4)))
    ledger = f"ledger-{ODD}"
    assert program.run(ODD, "more", "--endpoint", sandbox.url, f"--ledger={ledger}").code == 3
    status, proof, results, report, again = program.run_each(
        (command, b"")
        for command in (
            ("status", ledger, "--json"),
            ("verify", ledger, ODD, "more"),
            ("results", ledger),
            ("report", ledger, "-o", f"report-{ODD}"),
            ("resubmit", ledger, "--endpoint", sandbox.url),
        )
    )
    assert (status.code, json.loads(status.out)["ledger"]) == (0, f"ledger-{SHOWN}")
    assert (proof.code, results.code, len(results.results)) == (0, 0, 5)
    assert report.code == 0
    assert f"ledger-{SHOWN}" in (program.directory / f"report-{ODD}").read_text()
    assert (again.code, again.outcomes) == (3, {"invalid": 1})
    settled = program.run("settle", ledger, "--line=1", "--applied")  # which writes it, as resubmit does
    assert settled.code == 2
    assert f"{SHOWN}, more" in settled.err


def test_missing_files_whose_names_are_no_text(program: Program, sandbox: Sandbox) -> None:
    """What is not there is named, and nothing is sent."""
    (program.directory / "records").write_bytes(many(1))
    given = {
        (ODD,): (9, SHOWN),
        ("records", f"--results={ODD}/results"): (9, "cannot be written: No such file or directory"),
        ("records", f"--ledger={ODD}/ledger"): (9, "cannot be made: there is no directory"),
        ("records", f"--config={ODD}"): (2, "cannot be read: No such file or directory"),
    }
    done = program.run_each(((*command, "--endpoint", sandbox.url), b"") for command in given)
    for run, (code, words) in zip(done, given.values(), strict=True):
        assert (run.code, run.out) == (code, b"")
        assert words in run.err
    assert sandbox.stats().requests == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/proc/x/run.ledger", "cannot be made: there is no directory /proc/x"),
        ("/proc/run.ledger", "cannot be locked: No such file or directory"),
        ("missing/run.ledger", "cannot be made: there is no directory "),
    ],
)
def test_where_no_ledger_can_be(program: Program, sandbox: Sandbox, path: str, reason: str) -> None:
    """9 with the path and the reason, and nothing is sent."""
    done = program.run("--endpoint", sandbox.url, "--ledger", path, given=many(3))
    assert (done.code, done.out) == (9, b"")
    assert f"the ledger {path} {reason}" in done.err
    assert sandbox.stats().requests == 0


def test_a_ledger_in_a_read_only_directory(program: Program, sandbox: Sandbox) -> None:
    """A new one cannot be made, and one that is there cannot be continued: 9; it can be looked at all the same."""
    place = program.directory / "place"
    place.mkdir()
    (program.directory / "records").write_bytes(many(3))
    command = ("records", "--endpoint", sandbox.url)
    assert program.run(*command, "--ledger=place/old").code == 0
    (place / "old.lock").unlink()
    place.chmod(0o555)
    begun = [
        program.start(*command, f"--ledger={place / name}", starter=_concerned_by_permissions())
        for name in ("new", "old")
    ]
    for name, process in zip(("new", "old"), begun, strict=True):
        done = program.finish(process)
        assert (done.code, done.out) == (9, b"")
        assert f"the ledger {place / name} cannot be locked: Permission denied" in done.err
    looked = program.start("verify", "place/old", "records", starter=_concerned_by_permissions())
    assert program.finish(looked).code == 0
    assert sandbox.stats().requests == 3
    assert not (place / "new").exists()


def _concerned_by_permissions() -> tuple[str, ...]:
    """Starts a program to which a read-only directory is one: root writes there as well."""
    return () if os.geteuid() else ("setpriv", "--bounding-set=-dac_override")


def test_a_ledger_beside_which_a_folder_stands(program: Program, sandbox: Sandbox) -> None:
    """A folder of the ledger's own name is no ledger: 9, and it is left as it is."""
    (program.directory / "ledger").mkdir()
    done = program.run("--endpoint", sandbox.url, "--ledger=ledger", given=many(3))
    assert (done.code, done.out) == (9, b"")
    assert "/ledger is no ledger: not a regular file" in done.err
    assert sandbox.stats().requests == 0
