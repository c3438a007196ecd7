from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest

from batcher.flow.lines import BATCH_LINES
from deploy.grafana.make import FILE
from tests.grafana.fleet import LABELS, RECORDS, Fleet
from tests.grafana.grafana import Grafana, Series
from tests.grafana.linter import panels
from tests.prometheus.server import Prometheus

DASHBOARD = json.loads(FILE.read_text())
TARGETS = {
    f"{panel['title']} {target['refId']}": (panel, target) for panel in panels(DASHBOARD) for target in panel["targets"]
}
QUIET = re.compile(
    r"sum\(veetro_batch_(mismatched_results_total|ledger_uncommitted_records)"
    r"|sum by \([\w, ]+\) \(veetro_batch_paused\{"
)
"""Queries that may well give 0: no answer names another key, the ledger keeps up, and nothing is paused at the end."""


@pytest.fixture
def chosen(runs: tuple[Prometheus, Fleet], grafana: Grafana) -> Grafana:
    """Shows only the run that has ended."""
    return dataclasses.replace(grafana, chosen={"job": ["veetro-batch"], "instance": [runs[1].ended]})


def shown(grafana: Grafana, title: str) -> dict[str, float]:
    """The numbers of a panel of numbers, by what they are called."""
    panel, target = TARGETS[f"{title} A"]
    assert panel["type"] == "stat"
    return {called(target, series): series.values[-1][1] for series in grafana.ask(target)}


def called(target: dict[str, Any], series: Series) -> str:
    """What Grafana calls a series."""
    text: str = target["legendFormat"]
    return re.sub(r"\{\{(\w+)\}\}", lambda found: series.labels.get(found[1], ""), text)


@pytest.mark.parametrize(
    "target", [target for panel in panels(DASHBOARD) for target in panel["targets"]], ids=lambda it: it["expr"][:40]
)
def test_every_query_gives_data(grafana: Grafana, target: dict[str, Any]) -> None:
    """Each query of each panel gives numbers, with all values of the variables; they say that something happened."""
    found = grafana.ask(target)

    assert found
    assert QUIET.match(target["expr"]) or any(value for series in found for _, value in series.values)


@pytest.mark.parametrize("mark", DASHBOARD["annotations"]["list"][1:], ids=lambda it: str(it["name"]))
def test_every_annotation_gives_data(grafana: Grafana, mark: dict[str, Any]) -> None:
    """Each mark is somewhere in the time of the runs, in milliseconds where the series tell when it was."""
    found = grafana.curve(mark["expr"])

    assert found
    if mark["useValueForTime"]:
        moments = [value / 1000 for series in found for _, value in series.values]
        assert all(grafana.start <= moment <= grafana.end for moment in moments)


def test_variables(runs: tuple[Prometheus, Fleet], grafana: Grafana) -> None:
    """Each variable offers what there is, and what was chosen before it narrows that."""
    fleet = runs[1]
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    offered = {name: set(grafana.values(variables[name])) for name in ("job", "namespace", "shard", "instance")}
    narrowed = dataclasses.replace(grafana, chosen={"shard": ["0"]})

    assert offered == {
        "job": {"veetro-batch"},
        "namespace": {LABELS["namespace"]},
        "shard": {LABELS["shard"]},
        "instance": {fleet.lasting, fleet.ended},
    }
    assert narrowed.values(variables["instance"]) == [fleet.lasting]


def test_what_was_chosen_is_shown(runs: tuple[Prometheus, Fleet], grafana: Grafana) -> None:
    """All shows runs with and without the labels of Kubernetes; a choice of one or of several shows just those."""
    fleet = runs[1]
    target = TARGETS["Records a second A"][1]
    every = {fleet.lasting, fleet.ended}
    for choice, expected in (
        (None, every),
        ({"instance": [fleet.ended]}, {fleet.ended}),
        ({"instance": [fleet.lasting, fleet.ended]}, every),
        ({"namespace": ["crm"]}, {fleet.lasting}),
        ({"shard": ["0", "1"]}, {fleet.lasting}),
        ({"shard": ["1"]}, set()),
        ({"job": ["veetro.batch"]}, set()),
    ):
        asked = dataclasses.replace(grafana, chosen=choice)
        assert {series.labels["instance"] for series in asked.ask(target)} == expected


def test_verdict_on_a_run_that_has_ended(runs: tuple[Prometheus, Fleet], chosen: Grafana) -> None:
    """The numbers of a run whose target has gone are those of its summary, and nothing is said to run."""
    summary = runs[1].summary
    outcomes = summary["outcomes"]

    assert shown(chosen, "Delivered") == {"__auto": outcomes["delivered"]}
    assert shown(chosen, "Not delivered") == {name: outcomes[name] for name in ("rejected", "invalid", "unsent")}
    assert shown(chosen, "In doubt") == {"__auto": outcomes["in_doubt"]}
    assert shown(chosen, "Ended") == {"exit 4": 1}
    assert min(outcomes["delivered"], outcomes["rejected"], outcomes["invalid"], outcomes["in_doubt"]) > 0
    assert shown(chosen, "Share done") == {"__auto": 1}
    for title in ("Time left", "At work", "Since the last outcome", "Paused"):
        assert shown(chosen, title) == {}, title


def test_verdict_on_a_run_that_lasts(runs: tuple[Prometheus, Fleet], grafana: Grafana) -> None:
    """Share and time left are those of the compressed file that it reads, at its present rate."""
    fleet = runs[1]
    lasting = dataclasses.replace(grafana, chosen={"instance": [fleet.lasting]})
    counted = {"instant": True, "expr": 'sum(veetro_batch_records_total{instance=~"$instance"})'}
    rate = {"instant": True, "expr": 'sum(rate(veetro_batch_records_total{instance=~"$instance"}[$__rate_interval]))'}
    done, pace = (lasting.ask(asked)[0].values[0][1] for asked in (counted, rate))

    assert 0 < done < RECORDS
    # Lines are read in batches, and so the bytes that were read are ahead of the records by one of these at most.
    batch = BATCH_LINES / RECORDS
    assert shown(lasting, "Share done")["__auto"] == pytest.approx(done / RECORDS, abs=batch)
    all_records = done / shown(lasting, "Share done")["__auto"]
    assert shown(lasting, "Time left")["__auto"] == pytest.approx((all_records - done) / pace, rel=0.001)
    assert shown(lasting, "At work") == {"__auto": 1}
    assert shown(lasting, "Paused") == {"outage": 0, "throttled": 0, "session": 0}
    assert shown(lasting, "Ended") == {}


def test_verdict_during_a_pause(grafana: Grafana) -> None:
    """A pause is said while it lasts, by its reason, and how many runs have it."""
    asked = 'veetro_batch_paused{job=~"$job",reason="throttled"} == 1'
    moment = grafana.curve(asked)[0].values[0][0]
    back_then = dataclasses.replace(grafana, end=moment)

    assert shown(back_then, "Paused")["throttled"] == 1


@pytest.mark.parametrize("title", [panel["title"] for panel in panels(DASHBOARD) if panel["type"] == "timeseries"])
def test_stacked_series_have_colours_of_their_own(grafana: Grafana, title: str) -> None:
    """Where areas are stacked, each series has the colour that is kept for its name."""
    panel = next(panel for panel in panels(DASHBOARD) if panel["title"] == title)
    if panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "none":
        return
    kept = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    for target in panel["targets"]:
        assert {called(target, series) for series in grafana.ask(target)} <= kept
