"""One run that meets nearly everything, scraped by a real Prometheus while it lasts and at its end, and pushed."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from batcher.sandbox import SandboxSettings
from tests.e2e.program import PATIENCE_S, Program, lines, read_lines, record, wait_for_line
from tests.e2e.servers import Background
from tests.prometheus.server import Prometheus, Pushgateway, Sample, address, lasting_port

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""By name and sorted labels."""

HALF = 300
"""Lines of each of the two parts of the input, of which the last two are invalid."""

RAISED = {"VeetroBatchInDoubtRecords", "VeetroBatchNotSucceeded", "VeetroBatchRejectRatioHigh"}
"""Alerts that such a run is to raise."""

_FAULTS = {
    "server": 0.08,
    "deadlock": 0.05,
    "client": 0.05,
    "throttle": 0.01,
    "gateway_applied": 0.05,
    "cut": 0.04,
}
_EMAIL, _PASSWORD = "me@acme.com", "open-sesame"
_LINGER_S = 2 * PATIENCE_S
"""Nobody waits so long for the process: where it ends, it ended because it was scraped."""
_SCRAPED, _PUSHED = "itself", "gateway"
"""Values of the label ``told_by``, which tells apart what Prometheus got from the run and from the Pushgateway."""


@dataclass(frozen=True)
class Run:
    """What is known of the run, from all who tell of it.

    Attributes:
        given: the input.
        envelopes: bytes of the envelope of each valid line, in their order.
        results: the result lines.
        summary: what ``--summary`` got.
        file: what ``--metrics-file`` got.
        page: ``/metrics`` after half of the input.
        half: records by outcome in Prometheus at that time.
        scraped: the last value in Prometheus of every series that the run told.
        pushed: what Prometheus got of it from the Pushgateway.
        alerts: names of those that were raised then, none having lasted long enough yet to be told to anybody.
        final_scrapes: how often the run was scraped after it had ended.
    """

    given: bytes
    envelopes: list[int]
    results: list[dict[str, Any]]
    summary: dict[str, Any]
    file: Values
    page: str
    half: dict[str, float]
    scraped: Values
    pushed: Values
    alerts: set[str]
    final_scrapes: float


def by_label(values: Values, name: str, label: str) -> dict[str, float]:
    """Of one metric, by the value of a label."""
    return {dict(labels)[label]: value for (known, labels), value in values.items() if known == f"veetro_batch_{name}"}


def watched_run(directory: Path, prometheus: Prometheus, gateway: Pushgateway) -> Run:
    """Run the program to its end."""
    program = Program(directory)
    service = SandboxSettings(latency=0.002, faults=_FAULTS, seed=5, login=(_EMAIL, _PASSWORD), session_calls=400)
    try:
        with Background() as background, background.sandbox(service) as sandbox:
            return _watched(program, prometheus, gateway, sandbox.url)
    finally:
        program.close()


def _watched(program: Program, prometheus: Prometheus, gateway: Pushgateway, endpoint: str) -> Run:
    folder, halves = program.directory, (_records(0), _records(HALF))
    (folder / "password").write_text(_PASSWORD)
    process = program.start(
        *("--endpoint", endpoint, "--email", _EMAIL, "--password-file=password", "--ledger=ledger"),
        *("--results=results", "--summary=summary", "--metrics-file=run.prom", "--pushgateway", gateway.url),
        *(f"--metrics-port={lasting_port()}", f"--metrics-linger={_LINGER_S}", "--progress=off"),
        *("--concurrency=16", "--max-attempts=3"),  # else the faults make it slow
    )
    url = wait_for_line(process.stderr, "metrics at").split()[-1]
    prometheus.scrape({address(url): {"told_by": _SCRAPED}, address(gateway.url): {"told_by": _PUSHED}})
    assert process.stdin is not None
    process.stdin.write(halves[0])
    process.stdin.flush()
    # The input is still open: whatever is scraped now is scraped while the run lasts.
    prometheus.wait_for(f"sum(veetro_batch_records_total) == {HALF}")
    # The last values: a scrape that has failed since then would have taken the present ones away.
    half = by_label(_of_samples(prometheus.last("veetro_batch_records_total")), "records_total", "outcome")
    page = urllib.request.urlopen(url).read().decode()
    process.stdin.write(halves[1])
    process.stdin.close()
    done = program.finish(process)
    summary = json.loads((folder / "summary").read_bytes())
    assert done.code == summary["exit_code"], done.err
    for told_by in (_SCRAPED, _PUSHED):
        prometheus.wait_for_last(f'veetro_batch_last_completion_timestamp_seconds{{told_by="{told_by}"}}')
    prometheus.wait_for(f'count(ALERTS{{alertname=~"{"|".join(RAISED)}"}}) >= {len(RAISED)}')
    ended = f'veetro_batch_last_completion_timestamp_seconds{{told_by="{_SCRAPED}"}}[1h]'
    (final_scrapes,) = prometheus.query(f"count_over_time({ended})")
    return Run(
        given=b"".join(halves),
        envelopes=[len(line) for line in program.run("render", given=b"".join(halves)).out.splitlines()],
        results=read_lines((folder / "results").read_bytes()),
        summary=summary,
        file=_of_text((folder / "run.prom").read_text()),
        page=page,
        half=half,
        scraped=_of_samples(prometheus.last(f'{{__name__=~"veetro_batch_.+",told_by="{_SCRAPED}"}}')),
        pushed=_of_samples(prometheus.last(f'{{__name__=~"veetro_batch_.+",told_by="{_PUSHED}"}}')),
        alerts={sample.labels["alertname"] for sample in prometheus.query("ALERTS")},
        final_scrapes=final_scrapes.value,
    )


def _records(first: int) -> bytes:
    """Every fifth record is not safe to send twice; no two share an order key."""
    return lines(
        *(
            record(number, ImportSyncRecordID=0 if number % 5 == 0 else number, Source="Zoë & <Söhne>")
            for number in range(first + 1, first + HALF - 1)
        ),
        record(first + HALF - 1, CurrentStatus="Done"),
        record(first + HALF, RemoteTimeStamp="yesterday"),
    )


def _of_text(text: str) -> Values:
    return {
        _key(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _of_samples(samples: Iterable[Sample]) -> Values:
    """Without the labels that Prometheus and the Pushgateway put to them."""
    return {_key(sample.name, sample.labels): sample.value for sample in samples}


def _key(name: str, labels: Mapping[str, str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    told = {label: text for label, text in labels.items() if label not in ("told_by", "job", "instance")}
    if "le" in told:
        told["le"] = re.sub(r"\.0$", "", told["le"])  # OpenMetrics writes 1.0, the older format may write 1
    return name, tuple(sorted(told.items()))
