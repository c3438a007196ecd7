"""What Kubernetes makes of the exit codes, by the rules of our own manifests."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deploy.manifests import KUBERNETES, only, resources
from tests.deploy.policy import KILLED, Standing, action_on
from tests.e2e.program import ROOT

ACTIONS = {1: "Count", 2: "FailJob", 3: "FailJob", 4: "FailJob", 5: "FailJob", 6: "Ignore", 7: "Count", 8: "Ignore"}
ACTIONS |= {9: "Count", KILLED: "Count"}


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    """Spec of the Job with one pod."""
    return dict(only(resources(KUBERNETES / "base"), "Job")["spec"])


@pytest.fixture(scope="module")
def indexed() -> dict[str, Any]:
    """Spec of the Job with many."""
    return dict(only(resources(KUBERNETES / "indexed"), "Job")["spec"])


@pytest.mark.parametrize("name", ["base", "indexed"])
def test_kubernetes_takes_them(name: str, request: pytest.FixtureRequest) -> None:
    """They keep what the API asks beyond its schema: ordered exit codes; limits of an index where one has them."""
    spec: dict[str, Any] = request.getfixturevalue(name)
    (container,) = spec["template"]["spec"]["containers"]
    codes = [rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert {one["containerName"] for one in codes} == {container["name"]}
    assert all(one["values"] == sorted(set(one["values"])) and 0 not in one["values"] for one in codes)
    by_index = {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} & {"FailIndex"}
    assert bool(by_index) == ("backoffLimitPerIndex" in spec) == (spec.get("completionMode") == "Indexed")


def test_one_pod(base: dict[str, Any]) -> None:
    """What a new pod cannot change fails the Job, what nobody is to blame for is ignored, and the rest counts."""
    assert {code: action_on(base, code, disrupted=False) for code in ACTIONS} == ACTIONS


def test_the_readme_says_the_same(base: dict[str, Any]) -> None:
    """Its table names every exit code, and what Kubernetes does about each."""
    table = (ROOT / "deploy" / "README.md").read_text().split("## What to do when")[1].split("\n\n")[1]
    words = {"Job": "FailJob", "another pod, which counts for nothing": "Ignore", "another pod after a wait": "Count"}
    told = {}
    for row in table.splitlines()[2:]:
        codes, kubernetes = row.split("|")[1:3]
        for code in map(int, re.findall(r"\d+", codes)):
            told[code] = next((action for word, action in words.items() if kubernetes.strip().startswith(word)), "done")
    assert told == {0: "done"} | {code: action_on(base, code, disrupted=False) for code in ACTIONS}


def test_shards(indexed: dict[str, Any]) -> None:
    """So it is with shards, but that a shard with results to look at fails alone."""
    alone = dict.fromkeys((3, 4, 5), "FailIndex")
    assert {code: action_on(indexed, code, disrupted=False) for code in ACTIONS} == ACTIONS | alone


def test_disruptions(base: dict[str, Any], indexed: dict[str, Any]) -> None:
    """A pod that was evicted counts for nothing, however it ended, even killed when its time was up."""
    assert {action_on(spec, code, disrupted=True) for spec in (base, indexed) for code in ACTIONS} == {"Ignore"}


def test_killed_again_and_again(base: dict[str, Any]) -> None:
    """After seven failures that count the Job is given up; ignored ones between them change nothing."""
    standing = Standing(base)
    for _ in range(6):
        assert standing.ended(0, KILLED, disrupted=False) == "Count"
        standing.ended(0, 6, disrupted=False)
        assert (standing.condition, standing.open) == ("", [0])
    standing.ended(0, 7, disrupted=False)
    assert (standing.condition, standing.open) == ("Failed", [])


def test_a_shard_that_is_killed_again_and_again(indexed: dict[str, Any]) -> None:
    """It is given up alone; the others go on, and then the Job has failed."""
    standing = Standing(indexed)
    for _ in range(7):
        standing.ended(0, KILLED, disrupted=False)
    assert (standing.condition, standing.failed, standing.open) == ("", {0}, list(range(1, 16)))
    for index in standing.open:
        standing.ended(index, 0, disrupted=False)
    assert (standing.condition, len(standing.succeeded)) == ("Failed", 15)


def test_wrong_settings_end_all_shards(indexed: dict[str, Any]) -> None:
    """They are wrong for all."""
    standing = Standing(indexed)
    standing.ended(3, 2, disrupted=False)
    assert (standing.condition, standing.open) == ("Failed", [])
