"""Numbers told twice are equal: results, summary, metrics and /status of one run."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import batcher
from tests.e2e.conftest import StartRaw, StartSandbox
from tests.e2e.program import Program, lines, many, read_lines, record, wait_for_line
from tests.e2e.servers import Background, Held, Request, http, saved

FAULT = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:%s</faultcode>'
    b"<faultstring>%s</faultstring></s:Fault></s:Body></s:Envelope>"
)
BUSY, REFUSED = FAULT % (b"Server", b"Server too busy"), FAULT % (b"Client", b"Input string was not right.")
COUNTERS = {
    "input_records", "input_bytes", "records", "attempts", "http_responses", "faults", "mismatched_results", "retries",
    "request_bytes", "response_bytes", "connections_opened", "session_logins",
}  # fmt: skip
HISTOGRAMS = {"request_duration_seconds", "record_duration_seconds", "event_loop_lag_seconds"}
GAUGES = {
    "input_size_bytes", "records_in_flight", "records_waiting", "concurrency_limit", "connections", "paused",
    "breaker_open", "start_timestamp_seconds", "last_progress_timestamp_seconds",
}  # fmt: skip


async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
    """Once busy for each record that asks for it, no to some, another record's key to one, and yes to the rest."""
    wish = request.source_id.partition("-")[0]
    retried = b"<Retried>1" in request.body
    if wish == "busy" and not retried and request.number % 2:
        writer.write(http("500 Internal Server Error", BUSY))
    elif wish == "refuse":
        writer.write(http("500 Internal Server Error", REFUSED))
    elif wish == "other":
        writer.write(http("200 OK", saved(request).replace(b"other-", b"another-")))
    else:
        writer.write(http("200 OK", saved(request)))


class Metrics:
    """A scrape."""

    def __init__(self, url: str) -> None:
        self.text = urllib.request.urlopen(url).read().decode()
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}
        self._values = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self._values[(f"veetro_batch_{name}", tuple(sorted(labels.items())))]

    def total(self, name: str) -> float:
        return sum(value for (known, _), value in self._values.items() if known == f"veetro_batch_{name}")


def test_one_run(program: Program, start_raw: StartRaw) -> None:
    """Every number of a run with retries, rejections, bad lines and a mismatch, scraped at its end and written down."""
    raw = start_raw(answer)
    given = lines(
        *(record(number) for number in range(1, 21)),
        *(record(number, SourceID=f"refuse-{number}", ImportSyncRecordID=0) for number in (21, 22)),
        record(23, SourceID="other-23"),
    )
    given += b"{}\n\n[]\n"
    process = program.start(
        "--endpoint", raw.url, "--metrics-port=0", "--summary=summary", "--results=results", "--connections=2"
    )
    url = wait_for_line(process.stderr, "metrics at").split()[-1]
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.flush()
    # The input is still open, so the run goes on when all these are done.
    while (scraped := Metrics(url)).total("records_total") < 25:
        pass
    status = json.loads(urllib.request.urlopen(url.replace("/metrics", "/status")).read())
    done = program.finish(process)
    summary = json.loads((program.directory / "summary").read_bytes())
    results = read_lines((program.directory / "results").read_bytes())
    assert (done.code, len(results), len(raw.requests)) == (3, 25, 23)
    outcomes = Counter(entry["outcome"] for entry in results)
    assert outcomes == {"delivered": 21, "rejected": 2, "invalid": 2}
    _check_summary(summary, results, len(given) - 4)
    _check_metrics(scraped, summary, raw.requests)
    assert {name: value for name, value in status.items() if name in ("outcomes", "attempts", "faults", "input")} == {
        name: summary[name] for name in ("outcomes", "attempts", "faults", "input")
    }
    assert status["exit_code"] is None


def _check_summary(summary: dict[str, Any], results: list[dict[str, Any]], size: int) -> None:
    outcomes = Counter(entry["outcome"] for entry in results)
    every = ("delivered", "rejected", "invalid", "in_doubt", "unsent")
    assert summary["outcomes"] == {name: outcomes[name] for name in every}
    assert (summary["records"], summary["exit_code"]) == (len(results), 3)
    assert summary["attempts"]["total"] == sum(entry["attempts"] for entry in results) == 23
    assert (summary["attempts"]["accepted"], summary["attempts"]["refused"]) == (21, 2)
    assert summary["input"]["records"] == 25
    assert summary["input"]["bytes"] == size - (25 - 3)  # line ends are no part of lines
    assert summary["mismatches"] == sum(entry.get("mismatch", False) for entry in results) == 1
    assert summary["http"] == summary["http"] | {"200": 21, "500": 2}
    (refused,) = (problem for problem in summary["problems"] if problem["kind"] == "client_fault")
    assert refused["count"] == 2
    assert refused["line"] in {21, 22}  # whichever was answered first


def _check_metrics(scraped: Metrics, summary: dict[str, Any], requests: list[Request]) -> None:
    names = {name.removeprefix("veetro_batch_") for name in scraped.families if name.startswith("veetro_batch_")}
    assert names >= COUNTERS | HISTOGRAMS | GAUGES
    assert scraped.value("build_info", version=batcher.__version__) == 1
    assert "_created" not in scraped.text
    for outcome, count in summary["outcomes"].items():
        assert scraped.value("records_total", outcome=outcome) == count
        assert scraped.value("record_duration_seconds_count", outcome=outcome) == count
    for verdict, count in summary["attempts"].items():
        if verdict != "total":
            assert scraped.value("attempts_total", verdict=verdict) == count
            assert scraped.value("request_duration_seconds_count", verdict=verdict) == count
    assert scraped.value("http_responses_total", code="200") == 21
    assert scraped.value("http_responses_total", code="500") == 2
    assert scraped.value("faults_total", code="Client", action="final") == 2
    assert scraped.value("input_records_total") == 25
    assert scraped.value("input_bytes_total") == summary["input"]["bytes"]
    assert scraped.value("mismatched_results_total") == 1
    assert scraped.value("request_bytes_total") == sum(len(request.body) for request in requests)
    assert scraped.value("records_in_flight") == scraped.value("records_waiting") == 0
    assert 1 <= scraped.value("connections_opened_total") <= 2
    assert scraped.value("breaker_open") == 0
    for family in scraped.families.values():
        for sample in family.samples:
            assert not {"127.0.0.1", "S-1", "Input string was not right."} & set(sample.labels.values())


def test_during_a_run(program: Program, background: Background, start_raw: StartRaw) -> None:
    """While requests are in flight the gauges say so, and /healthz and /readyz are well; then the counters follow."""
    held = Held(background)
    raw = start_raw(held)
    process = program.start("--endpoint", raw.url, "--metrics-port=0", "--concurrency=3", "--connections=5")
    url = wait_for_line(process.stderr, "metrics at").split()[-1]
    assert process.stdin is not None
    process.stdin.write(many(10))
    process.stdin.flush()
    raw.wait_for(3)
    while (scraped := Metrics(url)).value("input_records_total") < 10:
        pass
    assert scraped.value("records_in_flight") == scraped.value("concurrency_limit") == 3
    assert scraped.value("records_waiting") == 7
    assert scraped.value("connections", state="active") == 3
    assert scraped.value("input_records_total") == 10
    assert scraped.value("records_total", outcome="delivered") == 0
    for page in ("healthz", "readyz"):
        assert urllib.request.urlopen(url.replace("metrics", page)).read() == b"ok\n"
    held.release()
    assert program.finish(process).code == 0


def test_retries_are_counted(program: Program, start_sandbox: StartSandbox) -> None:
    """Attempts of the results, the summary and the service's own count agree where faults make retries."""
    sandbox = start_sandbox(faults={"deadlock": 0.2, "reset": 0.1, "throttle": 0.1}, seed=2)
    done = program.run("--endpoint", sandbox.url, "--summary=summary", "--max-attempts=99", given=many(25))
    summary = json.loads((program.directory / "summary").read_bytes())
    assert (done.code, done.outcomes) == (0, {"delivered": 25})
    total = sum(entry["attempts"] for entry in done.results)
    assert total == summary["attempts"]["total"] == sandbox.stats().requests
    assert summary["retries"]["total"] == total - 25 > 0
    assert summary["retries"] == {
        "total": total - 25,
        **{name: summary["attempts"][name] for name in summary["retries"] if name != "total"},
    }


def test_not_ready_while_paused(program: Program) -> None:
    """/readyz says why nothing is sent; /healthz stays well; the paused gauge and the breaker tell the same."""
    process = program.start("--endpoint=http://127.0.0.1:9/xml", "--metrics-port=0")
    url = wait_for_line(process.stderr, "metrics at").split()[-1]
    assert process.stdin is not None
    process.stdin.write(many(1))
    process.stdin.flush()
    wait_for_line(process.stderr, "paused")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url.replace("metrics", "readyz"))
    with caught.value as refusal:
        assert (refusal.code, b"outage" in refusal.read()) == (503, True)
    assert urllib.request.urlopen(url.replace("metrics", "healthz")).status == 200
    scraped = Metrics(url)
    assert (scraped.value("breaker_open"), scraped.value("paused", reason="outage")) == (1, 1)
    process.terminate()
    assert program.finish(process).code == 6
