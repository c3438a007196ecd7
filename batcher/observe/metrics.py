"""The run's numbers in Prometheus' terms: a collector that reads the tally when it is scraped.

The client library's own counters and histograms take a lock and walk their buckets at each observation; reading plain
counts at scrape time costs the records nothing. Samples carry no creation times, so there are no ``_created`` series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from batcher import __version__
from batcher.core.latency import EXPOSED_BOUNDS, Latency
from batcher.core.slots import STATES
from batcher.observe.tally import CONNECTION_STATES, Tally

PREFIX = "veetro_batch_"

_BOUNDS = tuple(str(bound) for bound in EXPOSED_BOUNDS)


def make_registry(tally: Tally) -> CollectorRegistry:
    """A registry of this run alone: its tally, and the client library's view of the process."""
    registry = CollectorRegistry()
    registry.register(TallyCollector(tally))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class TallyCollector(Collector):
    """Shows a tally; every name is part of what this program promises."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """All families, in the order in which a record passes them."""
        yield InfoMetricFamily(f"{PREFIX}build", "The program's version.", {"version": __version__})
        yield from self._input()
        yield from self._records()
        yield from self._attempts()
        yield from self._state()
        yield from self._times()

    def _input(self) -> Iterator[Metric]:
        tally = self._tally
        yield _counter("input_records", "Lines read, blank ones aside.", tally.input_records)
        yield _counter("input_bytes", "Bytes of the lines read, without line ends, decompressed.", tally.input_bytes)
        yield _counter(
            "input_read_bytes", "Bytes of the inputs read, as they are stored: compressed or not.", tally.input_read()
        )
        yield _gauge(
            "input_size_bytes", "Bytes of all inputs, as they are stored; 0 while unknown.", tally.input_size or 0
        )
        yield _counter("resumed_records", "Lines that have their outcome from an earlier run.", tally.resumed)

    def _records(self) -> Iterator[Metric]:
        tally, gauges = self._tally, self._tally.gauges()
        yield _counters("records", "Records that have their outcome.", "outcome", tally.outcomes.items())
        yield _gauge("records_in_flight", "Requests that were sent and have no answer yet.", gauges.in_flight)
        yield _gauge("records_waiting", "Records read that are neither in flight nor ended.", gauges.waiting)
        yield _counter(
            "mismatched_results", "Delivered records whose answer carries another order key.", tally.mismatches
        )
        yield _histograms(
            "record_duration_seconds", "From reading a record to its result.", "outcome", tally.record_seconds.items()
        )

    def _attempts(self) -> Iterator[Metric]:
        tally = self._tally
        yield _counters("attempts", "Requests for records, by what their end means.", "verdict", tally.attempts.items())
        yield _counters("http_responses", "Answers to them, by HTTP status.", "code", tally.http_responses.items())
        faults = CounterMetricFamily(
            f"{PREFIX}faults", "SOAP faults, by code and by what came of them.", labels=["code", "action"]
        )
        for labels, value in tally.faults.items():
            faults.add_metric(labels, value)
        yield faults
        yield _counters(
            "retries", "Attempts to be repeated, by verdict of the last one.", "reason", tally.retries.items()
        )
        yield _counter("request_bytes", "Bytes of envelopes sent.", tally.request_bytes)
        yield _counter("response_bytes", "Bytes of answers' bodies, decompressed.", tally.response_bytes)
        yield _histograms(
            "request_duration_seconds",
            "One attempt, from permit to the answer's end.",
            "verdict",
            tally.attempt_seconds.items(),
        )

    def _state(self) -> Iterator[Metric]:
        tally, gauges = self._tally, self._tally.gauges()
        connections = {state: gauges.connections.get(state, 0) for state in CONNECTION_STATES}
        yield _gauge("concurrency_limit", "Requests that may be in flight.", gauges.limit)
        yield _gauges("connections", "Connections of the pool.", "state", connections.items())
        yield _counter("connections_opened", "Connections opened.", gauges.opened)
        yield _gauges("paused", "1 while sending rests for this reason.", "reason", tally.paused.items())
        yield _gauge("breaker_open", "1 while the service counts as out of order.", tally.breaker_open)
        spent: dict[str, float] = dict.fromkeys(STATES, 0.0) | dict(tally.slot_seconds())
        yield _counters("slot_seconds", "Time of the places for requests, by state.", "state", spent.items())
        yield _counters("session_logins", "Logins, by how they ended.", "result", tally.logins.items())
        lag = HistogramMetricFamily(
            f"{PREFIX}event_loop_lag_seconds", "By how much wake-ups of the event loop come late."
        )
        lag.add_metric([], _buckets(tally.loop_lag), tally.loop_lag.sum)
        yield lag
        commits = HistogramMetricFamily(f"{PREFIX}ledger_commit_duration_seconds", "Commits of the ledger.")
        commits.add_metric([], _buckets(tally.commit_seconds), tally.commit_seconds.sum)
        yield commits
        yield _gauge("ledger_uncommitted_records", "Results that the ledger does not hold yet.", gauges.uncommitted)

    def _times(self) -> Iterator[Metric]:
        tally = self._tally
        yield _gauge("start_timestamp_seconds", "When the run began.", tally.started_wall)
        if tally.last_progress is not None:
            at = tally.wall_time(tally.last_progress)
            yield _gauge("last_progress_timestamp_seconds", "When a record last got its outcome.", at)
        if tally.completion is not None:
            code, at = tally.completion
            meaning = "When the run ended."
            yield _gauges("last_completion_timestamp_seconds", meaning, "exit_code", [(str(code), at)])
            if code == 0:
                yield _gauge("last_success_timestamp_seconds", "When the run ended with exit code 0.", at)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, meaning, value)


def _counters(name: str, meaning: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, meaning, labels=[label])
    for word, value in values:
        family.add_metric([word], value)
    return family


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, meaning, value)


def _gauges(name: str, meaning: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=[label])
    for word, value in values:
        family.add_metric([word], value)
    return family


def _histograms(name: str, meaning: str, label: str, values: Iterable[tuple[str, Latency]]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, meaning, labels=[label])
    for word, latency in values:
        family.add_metric([word], _buckets(latency), latency.sum)
    return family


def _buckets(latency: Latency) -> list[tuple[str, float]]:
    return [*zip(_BOUNDS, latency.exposed(), strict=True), ("+Inf", latency.total)]
