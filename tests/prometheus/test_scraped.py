"""What a real Prometheus knows of a run is what the run itself says, to the last record and byte."""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.prometheus.run import HALF, RAISED, Run, by_label, watched_run
from tests.prometheus.server import Prometheus, Pushgateway

MOVING = ("veetro_batch_connections", "veetro_batch_event_loop_lag_seconds")
"""The loop still turns, and connections close, between the writing of the file and the last scrape."""


@pytest.fixture(scope="module")
def run(prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    if not Pushgateway.is_installed():
        pytest.skip("needs Debian's prometheus-pushgateway")
    with Pushgateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield watched_run(tmp_path_factory.mktemp("watched"), prometheus, gateway)


def test_the_run_is_worth_looking_at(run: Run) -> None:
    """It had every final outcome, retries, faults that were repeated and that were final, and lost its session."""
    summary = run.summary
    assert (summary["exit_code"], summary["records"]) == (4, 2 * HALF)
    assert all(summary["outcomes"][outcome] for outcome in ("delivered", "rejected", "invalid", "in_doubt"))
    assert all(summary["retries"][reason] for reason in ("faulted", "uncertain", "throttled", "no_session"))
    assert summary["faults"]["Server"]["retried"]
    assert summary["faults"]["Client"]["final"]
    assert summary["logins"]["success"] > 1


def test_while_it_lasts(run: Run) -> None:
    """Prometheus has every record of the first half before the second is given."""
    expected = Counter(result["outcome"] for result in run.results if result["line"] <= HALF)
    assert run.half == {outcome: expected[outcome] for outcome in run.summary["outcomes"]}


@pytest.mark.parametrize("way", ["scraped", "pushed"])
def test_counts_are_the_summarys(run: Run, way: str) -> None:
    """Records by outcome, attempts by verdict, retries, answers by status, faults by code and action, logins."""
    values, summary = getattr(run, way), run.summary
    for name, label, told in (
        ("records_total", "outcome", summary["outcomes"]),
        ("attempts_total", "verdict", summary["attempts"]),
        ("retries_total", "reason", summary["retries"]),
        ("http_responses_total", "code", summary["http"]),
        ("session_logins_total", "result", summary["logins"]),
    ):
        assert by_label(values, name, label) == {word: count for word, count in told.items() if word != "total"}, name
    for code, actions in summary["faults"].items():
        for action, count in actions.items():
            assert values["veetro_batch_faults_total", (("action", action), ("code", code))] == count
    assert values["veetro_batch_input_records_total", ()] == summary["input"]["records"] == 2 * HALF
    assert values["veetro_batch_input_bytes_total", ()] == summary["input"]["bytes"]
    assert values["veetro_batch_mismatched_results_total", ()] == summary["mismatches"]
    assert by_label(values, "last_completion_timestamp_seconds", "exit_code").keys() == {str(summary["exit_code"])}


@pytest.mark.parametrize("way", ["scraped", "pushed"])
def test_counts_are_the_results(run: Run, way: str) -> None:
    """Records, attempts, the time that records took and the bytes sent, added up from the result lines alone."""
    values, results = getattr(run, way), run.results
    outcomes = Counter(result["outcome"] for result in results)
    for outcome, count in by_label(values, "records_total", "outcome").items():
        labels = (("outcome", outcome),)
        taken = [result["seconds"] for result in results if result["outcome"] == outcome]
        assert count == outcomes[outcome]
        assert values["veetro_batch_record_duration_seconds_count", labels] == count
        # A result line rounds to a millisecond.
        total = values["veetro_batch_record_duration_seconds_sum", labels]
        assert math.isclose(total, math.fsum(taken), abs_tol=0.0005 * len(taken) + 1e-9)
    attempts = sum(result["attempts"] for result in results)
    assert sum(by_label(values, "attempts_total", "verdict").values()) == attempts
    valid = [result for result in results if result["outcome"] != "invalid"]
    sent = sum(result["attempts"] * size for result, size in zip(valid, run.envelopes, strict=True))
    assert values["veetro_batch_request_bytes_total", ()] == sent
    assert values["veetro_batch_input_bytes_total", ()] == len(run.given) - run.given.count(b"\n")


def test_each_bucket_holds_what_the_results_say(run: Run) -> None:
    """Each bucket of the records' durations counts the result lines that are at most so long."""
    seen = 0
    for (name, labels), count in run.scraped.items():
        if name == "veetro_batch_record_duration_seconds_bucket":
            told = dict(labels)
            taken = [result["seconds"] for result in run.results if result["outcome"] == told["outcome"]]
            bound = float(told["le"])
            # Half a millisecond is lost where a result line rounds.
            assert sum(s <= bound - 0.0005 for s in taken) <= count <= sum(s <= bound + 0.0005 for s in taken)
            seen += 1
    assert seen == 5 * 20


@pytest.mark.parametrize("way", ["scraped", "pushed"])
def test_every_series_is_the_files(run: Run, way: str) -> None:
    """Every series of --metrics-file, histogram buckets and sums included, has the same value, to the last bit."""
    values = getattr(run, way)
    assert run.file.keys() == values.keys()
    assert not [
        (key, value, values[key])
        for key, value in run.file.items()
        if values[key] != value and not key[0].startswith(MOVING)
    ]
    assert sum(name == "veetro_batch_request_duration_seconds_bucket" for name, _ in values) == 8 * 20


def test_it_lingers_for_one_scrape(run: Run) -> None:
    """Told to linger for longer than anybody waits for it, the process ended by itself, and was scraped before."""
    # More than one may come while the numbers are pushed, and until the port is closed.
    assert run.final_scrapes >= 1


def test_alerts_are_raised(run: Run) -> None:
    """With the rules that are shipped, a run with doubtful and rejected records raises what tells of these.

    How slow a disk of the tests may be is another matter.
    """
    assert run.alerts - {"VeetroBatchLedgerSlow"} == RAISED


def test_promtool_has_no_complaint(run: Run) -> None:
    """``promtool check metrics`` is content with names, types and help of a page that was served."""
    done = subprocess.run(["promtool", "check", "metrics"], input=run.page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
