"""The final numbers for those who do not scrape: a text file, or a Pushgateway.

Only the run's own numbers: what the client library tells of the process would meet the same names of whoever shows
them, and node_exporter refuses a file whose names it has itself.
"""

from __future__ import annotations

from http.client import HTTPException

from prometheus_client import CollectorRegistry, generate_latest, pushadd_to_gateway

from batcher.observe.metrics import TallyCollector
from batcher.observe.tally import Tally

JOB = "veetro-batch"
"""The group that pushed numbers are kept under: none for each instance, as those would never go away."""

_TIMEOUT = 10.0
"""Seconds that a Pushgateway may take: it holds up the end of the run."""


def final_text(tally: Tally) -> bytes:
    """The numbers in Prometheus' text format."""
    return generate_latest(_registry(tally))


def push(gateway: str, tally: Tally) -> str:
    """Push the numbers to *gateway*; blocks.

    By POST, which replaces metrics of the same names and leaves others: the last success is known until the next one.

    Returns:
        why it failed, for people; empty where it did not.
    """
    try:
        pushadd_to_gateway(gateway, JOB, _registry(tally), timeout=_TIMEOUT)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return ""


def _registry(tally: Tally) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(TallyCollector(tally))
    return registry
