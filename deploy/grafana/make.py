"""Writes the dashboard, ``veetro-batch.json``: ``python -m deploy.grafana.make`` from the project's root."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.parts import DATASOURCE, Json
from deploy.grafana.story import SECTIONS, marks

FILE = Path(__file__).with_name("veetro-batch.json")
_COLUMNS = 24
_KNOWN_BY = "veetro_batch_build_info"
"""The metric by which a run is known: every one has it from its beginning."""


def dashboard() -> Json:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "veetro-batch",
        "title": "veetro-batch",
        "description": "Runs of veetro-batch: how far they are, how the service does, and how we do.",
        "tags": ["veetro-batch"],
        "schemaVersion": 39,  # of Grafana 10.4 and 11; later ones bring it up to date when they load it
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_own_annotations(), *marks()]},
        "links": [],
        "templating": {
            "list": [
                _datasource(),
                _variable("job", f"label_values({_KNOWN_BY}, job)", every=".+"),
                # Whoever does not run in Kubernetes has no such labels; .* finds series without them as well.
                _variable("namespace", f'label_values({_KNOWN_BY}{{job=~"$job"}}, namespace)', every=".*"),
                _variable(
                    "shard", f'label_values({_KNOWN_BY}{{job=~"$job",namespace=~"$namespace"}}, shard)', every=".*"
                ),
                _variable(
                    "instance",
                    f'label_values({_KNOWN_BY}{{job=~"$job",namespace=~"$namespace",shard=~"$shard"}}, instance)',
                    every=".+",
                ),
            ]
        },
        "panels": _placed(),
    }


def _placed() -> list[Json]:
    """All panels, numbered, from left to right and from top to bottom; each section begins with its title."""
    panels: list[Json] = []
    bottom = 0
    for title, section in SECTIONS.items():
        place = {"x": 0, "y": bottom, "w": _COLUMNS, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
        left, top, bottom = 0, bottom + 1, bottom + 1
        for panel in section():
            width, height = panel["gridPos"]["w"], panel["gridPos"]["h"]
            if left + width > _COLUMNS:
                left, top = 0, bottom
            panels.append(panel | {"gridPos": {"x": left, "y": top, "w": width, "h": height}})
            left, bottom = left + width, max(bottom, top + height)
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "regex": "",
        "current": {},
        "options": [],
    }


def _variable(name: str, query: str, *, every: str) -> Json:
    """A label to choose values of; *every* is the pattern for all of them."""
    return {
        "name": name,
        "label": name.title(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"Variable-{name}"},
        "definition": query,
        "refresh": 2,  # whenever the time range changes
        "sort": 3,  # as numbers, upwards
        "hide": 0,
        "multi": True,
        "includeAll": True,
        "allValue": every,
        "regex": "",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def _own_annotations() -> Json:
    """Those that people write into Grafana."""
    return {
        "name": "Annotations & Alerts",
        "builtIn": 1,
        "type": "dashboard",
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n")
