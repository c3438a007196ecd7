from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana import colours, parts
from deploy.grafana.make import dashboard as made
from tests.grafana.linter import complaints, panels

Dashboard = dict[str, Any]

OKABE_ITO = {"#009E73", "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7", "#F0E442"}


def test_the_file_is_what_the_code_makes(dashboard: Dashboard) -> None:
    """``veetro-batch.json`` is up to date with the code beside it."""
    assert dashboard == made()


def test_no_complaints(dashboard: Dashboard) -> None:
    """The dashboard keeps every rule."""
    assert complaints(dashboard) == []


def _panel(dashboard: Dashboard) -> dict[str, Any]:
    return next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")


def _variable(dashboard: Dashboard, name: str) -> dict[str, Any]:
    return next(variable for variable in dashboard["templating"]["list"] if variable["name"] == name)


def _query(expr: str) -> Callable[[Dashboard], None]:
    return lambda dashboard: _panel(dashboard)["targets"][0].update(expr=expr)


SELECTED = parts.selected("veetro_batch_records_total")


@pytest.mark.parametrize(
    ("breach", "rule"),
    [
        (lambda it: it.update(editable=True), "uneditable-dashboard"),
        (lambda it: it.update(uid=None), "uid"),
        (lambda it: _panel(it).update(id=1), "panel-id"),
        (lambda it: _panel(it)["gridPos"].update(x=1), "panel-place"),
        (lambda it: _variable(it, "datasource").update(name="source"), "template-datasource-rule"),
        (lambda it: _variable(it, "job").update(multi=False), "template-job-rule"),
        (lambda it: _variable(it, "instance").update(allValue=".*"), "template-instance-rule"),
        (lambda it: _variable(it, "shard").update(allValue=".+"), "template-shard-rule"),
        (lambda it: _variable(it, "namespace").update(name="ns"), "template-namespace-rule"),
        (lambda it: _variable(it, "job").update(refresh=1), "template-on-time-change-reload-rule"),
        (lambda it: _variable(it, "job")["query"].update(query="up"), "template-label-promql-rule"),
        (lambda it: _panel(it).update(datasource={"uid": "prometheus"}), "panel-datasource-rule"),
        (lambda it: _panel(it)["targets"][0].update(datasource={"uid": "x"}), "panel-datasource-rule"),
        (lambda it: _panel(it).update(title=""), "panel-title-description-rule"),
        (lambda it: _panel(it).update(description=""), "panel-title-description-rule"),
        (lambda it: _panel(it)["fieldConfig"]["defaults"].update(unit="seconds"), "panel-units-rule"),
        (lambda it: _panel(it).update(targets=[]), "panel-no-targets-rule"),
        (_query(f"rate({SELECTED}[5m])"), "target-rate-interval-rule"),
        (_query(f"rate({SELECTED}[$__interval])"), "target-rate-interval-rule"),
        (_query(SELECTED.replace('job=~"$job",', "")), "target-job-rule"),
        (_query(SELECTED.replace('=~"$instance"', '="$instance"')), "target-instance-rule"),
        (_query(f"{SELECTED} and on (job) up"), "target-shard-rule"),
        (_query(f"sum by (job) ({SELECTED}) / sum(up)"), "target-namespace-rule"),
    ],
)
def test_every_rule_bites(dashboard: Dashboard, breach: Callable[[Dashboard], None], rule: str) -> None:
    """A dashboard that breaks a rule is complained of by that rule."""
    breach(dashboard)

    assert rule in {complaint.split(" ")[0] for complaint in complaints(dashboard)}


def test_one_story(dashboard: Dashboard) -> None:
    """It is told in one order: verdict, target, ourselves, faults and retries, shards; what happened is marked."""
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]

    assert [row["title"] for row in rows] == ["Verdict", "The target", "Ourselves", "Faults and retries", "Shards"]
    assert [row["gridPos"]["y"] for row in rows] == sorted(row["gridPos"]["y"] for row in rows)
    assert [mark["name"] for mark in dashboard["annotations"]["list"][1:]] == ["Start", "End", "Pause"]


def test_colours(dashboard: Dashboard) -> None:
    """No two series of a panel have the same colour, and outcomes have those that the colour-blind tell apart."""
    for panel in panels(dashboard):
        fixed = [
            setting["value"]["fixedColor"]
            for override in panel["fieldConfig"]["overrides"]
            for setting in override["properties"]
            if setting["id"] == "color"
        ]
        assert len(fixed) == len(set(fixed)), panel["title"]
    assert {*colours.OUTCOME_COLOURS.values(), *colours.VERDICT_COLOURS.values()} - OKABE_ITO == {colours.GREY}


def test_provisioning(dashboard: Dashboard) -> None:
    """The provisioning files name the folder that the README says, and no address of ours."""
    folder = Path(parts.__file__).parent
    provider = (folder / "provisioning/dashboards/veetro-batch.yaml").read_text()
    source = (folder / "provisioning/datasources/prometheus.yaml").read_text()
    path = re.search(r"path: (\S+)", provider)

    assert path is not None
    assert path[1] in (folder / "README.md").read_text()
    assert "url: ${PROMETHEUS_URL}" in source
    assert "timeInterval: 15s" in source
