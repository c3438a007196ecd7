"""What the dashboard tells, from top to bottom, and the marks of what happened."""

from __future__ import annotations

from deploy.grafana.colours import BLUE, GREEN, VERMILION
from deploy.grafana.ourselves import ourselves
from deploy.grafana.parts import DATASOURCE, PAUSED, Json, selected
from deploy.grafana.runs import shards, verdict
from deploy.grafana.service import target, troubles

SECTIONS = {
    "Verdict": verdict,
    "The target": target,
    "Ourselves": ourselves,
    "Faults and retries": troubles,
    "Shards": shards,
}


def marks() -> list[Json]:
    """Annotations in all curves: where runs began, ended and paused."""
    return [
        _mark("Start", BLUE, _moment("start_timestamp_seconds"), "run begins", at_value=True),
        _mark(
            "End",
            GREEN,
            _moment("last_completion_timestamp_seconds"),
            "run ends with exit code {{exit_code}}",
            at_value=True,
        ),
        _mark("Pause", VERMILION, f"({PAUSED}) > 0", "paused: {{reason}}", at_value=False),
    ]


def _moment(name: str) -> str:
    """A timestamp in milliseconds; one that was scraped just once is not lost between two points either."""
    return f"last_over_time(veetro_batch_{name}[$__rate_interval]) * 1000"


def _mark(name: str, colour: str, expr: str, text: str, *, at_value: bool) -> Json:
    """*at_value*: the series tell when it was, in milliseconds; else it is wherever they have a value."""
    return {
        "name": name,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "datasource": DATASOURCE,
        "expr": selected(expr),
        "step": "15s",
        "useValueForTime": at_value,
        "titleFormat": text,
        "textFormat": "{{namespace}} {{shard}} {{instance}}",
        "tagKeys": "namespace,shard,instance",
    }
