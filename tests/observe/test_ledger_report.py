"""The report of a ledger: all its runs, from what the ledger holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batcher.core.verdict import Outcome
from batcher.observe.account import add_counts, read_account, write_account
from batcher.observe.recorder import Recorder
from batcher.observe.summary import Summary
from batcher.observe.tally import Tally
from batcher.sandbox import Sandbox, SandboxSettings
from tests.e2e.program import Program, lines, many, record
from tests.e2e.servers import Background


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Background() as background, background.sandbox(SandboxSettings(faults={"server": 0.1}, seed=2)) as running:
        yield running


def view_of(file: Path) -> dict[str, Any]:
    """What a report carries."""
    found = re.search(r'<script type="application/json" id="view">(.*?)</script>', file.read_text(), re.DOTALL)
    assert found is not None
    view: dict[str, Any] = json.loads(found[1])
    return view


def total(view: dict[str, Any], prefix: str) -> int:
    columns: dict[str, list[int]] = view["timeline"]["columns"]
    return sum(sum(values) for name, values in columns.items() if name.startswith(prefix))


def test_it_adds_up_all_runs(program: Program, sandbox: Sandbox) -> None:
    """Outcomes, attempts, timeline and problems are those of all runs on the ledger, in a run's report too."""
    whole = many(60) + lines(record(61, ImportSyncRecordID=0)) + b"{}\n[]\n"
    summaries, codes = [], []
    for part in (many(20), whole):
        done = program.run(
            *("--endpoint", sandbox.url, "--ledger=ledger", "--results=results", "--rejects=rejects"),
            *("--summary=summary", "--report=own.html"),
            given=part,
        )
        codes.append(done.code)
        summaries.append(json.loads((program.directory / "summary").read_text()))
    told = program.run("report", "ledger", "-o", "report.html")
    assert (told.code, told.out, told.err) == (0, b"", "")
    file = program.directory / "report.html"
    assert file.stat().st_mode & 0o777 == 0o600
    view = view_of(file)
    summary = view["summary"]
    assert summary["outcomes"] == summaries[-1]["outcomes"]
    assert summary["records"] == 63
    assert (summary["exit_code"], summary["files"]) == (codes[-1], {"ledger": "ledger"})
    for name in ("attempts", "retries", "http"):
        counts = {each: summaries[0][name][each] + summaries[1][name][each] for each in summaries[0][name]}
        assert summary[name] == counts
    # The account is written before the run can tell how long that took.
    working = sum(summary["slot_seconds"].values()) / 64
    assert working - 0.1 < summary["seconds"] <= sum(each["seconds"] for each in summaries) + 0.1
    assert total(view, "attempt.") == total(view, "latency.") == summary["attempts"]["total"]
    assert summary["slots"] == 64
    assert summary["slot_seconds"] == pytest.approx(
        {state: sum(each["slot_seconds"][state] for each in summaries) for state in summary["slot_seconds"]}, abs=0.01
    )
    assert view["spent"].startswith("Of 64 slots, ")
    assert [mark[3] for mark in view["timeline"]["marks"] if mark[2] in ("run", "end")] == [
        "run 1 began", "exit 0", "run 2 began", f"exit {codes[-1]}",
    ]  # fmt: skip
    assert {(problem["kind"], problem["records"]) for problem in summary["problems"]} >= {
        ("missing_field", 1), ("not_an_object", 1),
    }  # fmt: skip
    assert {problem["record"] for problem in summary["problems"]} >= {"{}", "[]"}
    assert (view["settings"]["ledger"], view["settings"]["operation"]) == ("ledger", "SetOutlookSyncRecord")
    own = view_of(program.directory / "own.html")
    assert own["summary"]["outcomes"] == summary["outcomes"]
    assert total(own, "attempt.") == summary["attempts"]["total"]


def test_records_in_doubt_are_named_until_they_are_settled(program: Program, background_raw: str) -> None:
    """The lines in doubt stand there with what to do; what a person has settled does so no more."""
    given = lines(*(record(number, ImportSyncRecordID=0) for number in range(1, 4)))
    done = program.run("--endpoint", background_raw, "--ledger=ledger", "--results=none", given=given)
    assert done.code == 4
    program.run("report", "ledger", "-o", "report.html")
    view = view_of(program.directory / "report.html")
    assert sorted(view["doubtful"]) == [[1, None], [2, None], [3, None]]
    assert "veetro-batch settle ledger --line N --applied|--not-applied" in view["advice"][0]
    assert [(each["kind"], each["records"]) for each in view["summary"]["problems"]] == [("connection_lost", 3)]
    assert program.run("settle", "ledger", "--line=2", "--applied").code == 0
    program.run("report", "ledger", "-o", "report.html")
    view = view_of(program.directory / "report.html")
    assert sorted(view["doubtful"]) == [[1, None], [3, None]]
    assert view["summary"]["outcomes"] == dict.fromkeys(Outcome, 0) | {"delivered": 1, "in_doubt": 2}
    assert view["summary"]["problems"][0]["records"] == 2


@pytest.fixture
def background_raw() -> Iterator[str]:
    """A service that hangs up on every request."""
    import asyncio

    from tests.e2e.servers import Request, raw_server

    async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with Background() as background, background.holding(raw_server(hang_up)) as raw:
        yield raw.url


@pytest.mark.parametrize("output", ["ledger", "./ledger", "ledger-wal", "ledger.lock", "hard"])
@pytest.mark.parametrize("command", ["report", "results"])
def test_it_does_not_write_over_the_ledger(program: Program, sandbox: Sandbox, command: str, output: str) -> None:
    """A slip of the hand does not cost the ledger, by a hard link either."""
    program.run("--endpoint", sandbox.url, "--ledger=ledger", "--results=none", given=many(1))
    (program.directory / "hard").hardlink_to(program.directory / "ledger")
    before = (program.directory / "ledger").read_bytes()
    done = program.run(command, "ledger", "--output", output)
    assert done.code == 2
    assert "which would be lost" in done.err
    assert (program.directory / "ledger").read_bytes() == before


def test_it_needs_a_ledger_and_a_place(program: Program) -> None:
    """No -o is a usage error; what is no ledger is refused, and nothing is written."""
    done = program.run("report", "ledger")
    assert done.code == 2
    assert "--output: is missing; say where to write it, such as -o report.html" in done.err
    done = program.run("report", "ledger", "-o", "report.html")
    assert done.code == 9
    assert "there is no ledger " in done.err
    assert not list(program.directory.iterdir())


def test_an_account_is_the_tally_again(told: Tally) -> None:
    """What is left in the ledger gives the same counts when it is added to a tally that has heard nothing."""
    told.slots, told.slot_seconds = 16, lambda: {"server": 100.5, "input": 59.5}
    recorder = Recorder(told)
    recorder.look()
    account = read_account(write_account(told, recorder.timeline, {"soap": "1.1"}))
    assert account is not None
    assert account.settings == {"soap": "1.1"}
    assert account.timeline.to_json() == recorder.timeline.to_json()
    empty = Tally(lambda: 0.0)
    assert add_counts(empty, account.counts) == told.seconds == 10
    mine, other = Summary.of(told), Summary.of(empty)
    for name in (
        *("attempts", "retries", "http", "faults", "logins", "mismatches", "request_seconds", "input_bytes"),
        *("slots", "slot_seconds"),
    ):
        assert getattr(mine, name) == getattr(other, name), name
    add_counts(empty, account.counts)  # of a second run: as many slots, and their time is added
    assert (empty.slots, empty.slot_seconds()) == (16, {"server": 201.0, "input": 119.0})


@pytest.mark.parametrize("packed", [b"", b"nonsense"])
def test_no_account_is_no_trouble(packed: bytes) -> None:
    """Where a run has left none, or another version's, the report does without."""
    assert read_account(packed) is None
