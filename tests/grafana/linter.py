"""The rules of Grafana's dashboard linter, and of this project, for dashboards whose data source is Prometheus.

After https://github.com/grafana/dashboard-linter/tree/main/docs/rules, whose names stand in the complaints. Held more
strictly: they go for panels of every kind, and ``namespace`` and ``shard`` are asked for like ``job`` and ``instance``.
Its rule for counters (``target-counter-agg-rule``) is left out: a run's counters begin at 0, so that what it has
delivered is the counter itself. That a query is valid is for Prometheus to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

Json = Mapping[str, Any]

_EVERY = {"job": ".+", "instance": ".+", "namespace": ".*", "shard": ".*"}
_DATASOURCES = ("$datasource", "${datasource}")
_UNITS = {"none", "short", "locale", "percentunit", "bytes", "Bps", "cps", "s", "dtdurations"}
"""Of those that Grafana knows (``valueFormats/categories.ts``), the ones that have been looked at here."""
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) *\([^)]*\)")
_WORD = re.compile(r"(?<![\w.])[a-zA-Z_:][\w:]*")
_OPERATORS = {"and", "or", "unless", "bool", "offset"}


def complaints(dashboard: Json) -> list[str]:
    """What is wrong with it, each beginning with the name of its rule."""
    found = [*_dashboard(dashboard), *_variables(dashboard)]
    for panel in panels(dashboard):
        found += [f"{complaint} ({panel.get('title')})" for complaint in _panel(panel)]
    return found


def panels(dashboard: Json) -> list[Json]:
    """All but the titles of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def _dashboard(dashboard: Json) -> Iterator[str]:
    if dashboard["editable"] is not False:
        yield "uneditable-dashboard"
    if not re.fullmatch(r"[\w-]{1,40}", dashboard.get("uid") or ""):
        yield "uid"
    if len({panel["id"] for panel in dashboard["panels"]}) < len(dashboard["panels"]):
        yield "panel-id"
    for one, other in combinations((panel["gridPos"] for panel in dashboard["panels"]), 2):
        if (
            max(one["x"], other["x"]) < min(one["x"] + one["w"], other["x"] + other["w"])
            and max(one["y"], other["y"]) < min(one["y"] + one["h"], other["y"] + other["h"])
        ) or one["x"] + one["w"] > 24:
            yield "panel-place"


def _variables(dashboard: Json) -> Iterator[str]:
    known = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    sources = [variable for variable in known.values() if variable["type"] == "datasource"]
    if [(source["name"], source["label"], source["query"]) for source in sources] != [
        ("datasource", "Data source", "prometheus")
    ]:
        yield "template-datasource-rule"
    for name, every in _EVERY.items():
        variable = known.get(name)
        if variable is None or (
            variable["type"],
            variable["label"],
            variable["multi"],
            variable["includeAll"],
            variable["allValue"],
            variable["datasource"]["uid"] in _DATASOURCES,
        ) != ("query", name.title(), True, True, every, True):
            yield f"template-{name}-rule"
    for variable in known.values():
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield "template-on-time-change-reload-rule"
        if variable["type"] == "query" and not re.fullmatch(r"label_values\(.+, \w+\)", variable["query"]["query"]):
            yield "template-label-promql-rule"


def _panel(panel: Json) -> Iterator[str]:
    if panel["datasource"]["uid"] not in _DATASOURCES:
        yield "panel-datasource-rule"
    if not panel.get("title") or not panel.get("description"):
        yield "panel-title-description-rule"
    units = [
        panel["fieldConfig"]["defaults"].get("unit"),
        *(
            setting["value"]
            for override in panel["fieldConfig"]["overrides"]
            for setting in override["properties"]
            if setting["id"] == "unit"
        ),
    ]
    if not set(units) <= _UNITS:
        yield "panel-units-rule"
    if not panel.get("targets"):
        yield "panel-no-targets-rule"
    for target in panel.get("targets", ()):
        if target["datasource"]["uid"] not in _DATASOURCES:
            yield "panel-datasource-rule"
        yield from query_complaints(target["expr"])


def query_complaints(expr: str) -> Iterator[str]:
    """What is wrong with a query: ranges, and metrics without the matchers of the variables."""
    for function, span in re.findall(r"(\w+)\([^()]*\[([^]]*)\]", expr):
        if function in ("rate", "irate", "increase") and span != "$__rate_interval":
            yield "target-rate-interval-rule"
    selectors = re.findall(r"\{([^}]*)\}", expr)
    bare = _GROUPING.sub("", re.sub(r"\[[^]]*\]", "", re.sub(r"\{[^}]*\}", "{", expr)))
    for word in _WORD.finditer(bare):
        if word[0] not in _OPERATORS and not bare[word.end() :].lstrip().startswith(("(", "{")):
            selectors.append("")
    for matchers in selectors:
        for name in _EVERY:
            if f'{name}=~"${name}"' not in matchers.split(","):
                yield f"target-{name}-rule"
