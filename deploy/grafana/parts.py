"""What the dashboard is made of: queries, panels and colours, in the form of Grafana's dashboard JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from deploy.grafana.colours import BLUE

Json: TypeAlias = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = ("job", "instance", "namespace", "shard")
EACH = "namespace, shard, instance"
"""The labels that tell runs apart."""
PAUSED = "max_over_time(veetro_batch_paused[$__interval]) or veetro_batch_paused"
"""No pause that was scraped is lost between two points; nor is one where no scrape lies between them."""

_NAME = re.compile(r"\b((?:veetro_batch|process)_\w+)(?:\{([^}]*)\})?")


class Query(NamedTuple):
    """PromQL, in which metrics stand without the matchers of the dashboard's variables, and what its series are called.

    *instant*: its value at the end of the time range instead of a curve.
    """

    expr: str
    legend: str = ""
    instant: bool = False


def selected(expr: str) -> str:
    """*expr* with the matchers of all variables at every metric."""
    matchers = ",".join(f'{name}=~"${name}"' for name in VARIABLES)
    return _NAME.sub(lambda found: f"{found[1]}{{{','.join(filter(None, (matchers, found[2])))}}}", expr)


def percentiles(histogram: str, by: str = "") -> list[Query]:
    """Median, 95th and 99th percentile of all observations of *histogram*."""
    grouped = ", ".join(filter(None, (by, "le")))
    rates = f"sum by ({grouped}) (rate({histogram}_bucket[$__rate_interval]))"
    return [Query(f"histogram_quantile({share}, {rates})", f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)]


def by_label(counter: str, label: str, condition: str = "") -> list[Query]:
    """How much a second *counter* grows for each value of *label*, as far as the *condition* holds."""
    rates = f"sum by ({label}) (rate({counter}[$__rate_interval])) {condition}"
    return [Query(rates.strip(), f"{{{{{label}}}}}")]


def stat(
    title: str,
    description: str,
    query: Query,
    unit: str,
    *,
    width: int,
    none: str,
    steps: Iterable[tuple[float | None, str]] = ((None, "text"),),
    colours: Mapping[str, str] | None = None,
) -> Json:
    """The values at the end of the time range, large.

    *none*: said where there are none; *steps*: colours, each from a value on; *colours*: by the name of a series.
    """
    defaults = {
        "noValue": none,
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]},
    }
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value_and_name" if query.legend else "value",
    }
    made = _panel("stat", title, description, [query._replace(instant=True)], unit, defaults, options)
    return _coloured(made, colours or {}) | {"gridPos": {"w": width, "h": 4}}


def curves(
    title: str,
    description: str,
    queries: Iterable[Query],
    unit: str,
    *,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    width: int = 8,
) -> Json:
    """Values over time.

    *colours*: by the name of a series; *stacked*: one upon the other, where their sum means something.
    """
    defaults = {
        "min": 0,
        "color": {"mode": "palette-classic-by-name"},
        "custom": {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1 if stacked else 2,
            "fillOpacity": 60 if stacked else 0,
            "showPoints": "auto",
            "spanNulls": False,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        },
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    made = _panel("timeseries", title, description, queries, unit, defaults, options)
    return _coloured(made, colours or {}) | {"gridPos": {"w": width, "h": 8}}


def heat_map(title: str, description: str, histogram: str, *, width: int) -> Json:
    """How many observations of *histogram* fell into which bucket, over time."""
    options = {
        "calculate": False,
        "cellGap": 0,
        "cellValues": {"unit": "short", "decimals": 0},
        "color": {"mode": "scheme", "scheme": "Cividis", "scale": "exponential", "exponent": 0.5, "steps": 64},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": "s"},
    }
    query = Query(f"sum by (le) (increase({histogram}_bucket[$__rate_interval]))", "{{le}}")
    made = _panel("heatmap", title, description, [query], "s", {"custom": {}}, options)
    made["targets"][0]["format"] = "heatmap"
    return made | {"gridPos": {"w": width, "h": 8}}


def states(title: str, description: str, queries: Iterable[Query], words: Mapping[int, tuple[str, str]]) -> Json:
    """In which of a few states each series was when. *words*: name and colour of each state."""
    named = {str(value): {"text": text, "color": colour} for value, (text, colour) in words.items()}
    defaults = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "mappings": [{"type": "value", "options": named}],
    }
    options = {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "never",
        "tooltip": {"mode": "single"},
    }
    made = _panel("state-timeline", title, description, queries, "none", defaults, options)
    return made | {"gridPos": {"w": 8, "h": 8}}


class Column(NamedTuple):
    """A column of a table: its head, the query that gives its values, and their unit; *bar*: drawn from 0 to 1."""

    head: str
    expr: str
    unit: str
    bar: bool = False


def table(title: str, description: str, columns: Iterable[Column], *, keys: Iterable[str]) -> Json:
    """A line for each combination of the labels *keys*, by which every column's query groups."""
    columns, keys = tuple(columns), tuple(keys)
    defaults = {"custom": {"align": "auto", "cellOptions": {"type": "auto"}}, "color": {"mode": "thresholds"}}
    made = _panel(
        "table",
        title,
        description,
        [Query(column.expr, instant=True) for column in columns],
        "locale",
        defaults | {"thresholds": {"mode": "absolute", "steps": [{"value": None, "color": BLUE}]}},
        {"showHeader": True, "cellHeight": "sm"},
    )
    for target in made["targets"]:
        target["format"] = "table"
    heads = {f"Value #{target['refId']}": column.head for target, column in zip(made["targets"], columns, strict=True)}
    order = {name: index for index, name in enumerate((*keys, *heads))}
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": heads},
        },
    ]
    made["fieldConfig"]["overrides"] = [_column(column) for column in columns]
    return made | {"gridPos": {"w": 24, "h": 8}}


def _column(column: Column) -> Json:
    properties: list[Json] = [{"id": "unit", "value": column.unit}]
    if column.bar:
        properties += [
            {"id": "min", "value": 0},
            {"id": "max", "value": 1},
            {"id": "custom.cellOptions", "value": {"type": "gauge", "mode": "basic"}},
        ]
    return _override(column.head, properties)


def _panel(
    kind: str, title: str, description: str, queries: Iterable[Query], unit: str, defaults: Json, options: Json
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": unit, **defaults}, "overrides": []},
        "options": options,
        "targets": [_target(letter, query) for letter, query in zip("ABCDEFGH", queries, strict=False)],
    }


def _target(letter: str, query: Query) -> Json:
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": selected(query.expr),
        "legendFormat": query.legend or "__auto",
        "format": "time_series",
        "instant": query.instant,
        "range": not query.instant,
    }


def _coloured(panel: Json, colours: Mapping[str, str]) -> Json:
    panel["fieldConfig"]["overrides"] += [
        _override(name, [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}])
        for name, colour in colours.items()
    ]
    return panel


def _override(name: str, properties: list[Json]) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}
