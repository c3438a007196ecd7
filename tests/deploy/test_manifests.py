"""The manifests are what Kubernetes takes, and what the program wants."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from batcher.options.kinds import duration
from batcher.settings import OPTIONS
from deploy.kubernetes.make import FILE, rules
from tests.deploy.manifests import KUBERNETES, container_of, only, own_overlay, rendered, resources, tool
from tests.e2e.program import ROOT

EACH = ["base", "indexed", "monitoring"]
JOBS = ["base", "indexed"]
OPERATORS = {"PodMonitor", "PrometheusRule"}
"""Kinds of Prometheus' operator, of which kubernetes-validate knows nothing."""


@pytest.mark.parametrize("name", EACH)
def test_they_are_valid(name: str, tmp_path: Path) -> None:
    """Kustomize renders them, and the schemas of Kubernetes, read strictly, take every resource that is its own."""
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered(KUBERNETES / name))
    checker = tool("kubernetes-validate")
    done = subprocess.run([checker, "--strict", file], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = [resource["kind"] for resource in resources(KUBERNETES / name)]
    passed = re.findall(r"passed for resource (\w+)/", done.stdout + done.stderr)
    assert sorted(passed) == sorted(kind.lower() for kind in kinds if kind not in OPERATORS)


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """The check can fail: a misspelt field is refused."""
    patch = [{"op": "add", "path": "/spec/backoffLimits", "value": 3}]
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered(own_overlay(tmp_path, patch, of=KUBERNETES / "base")))
    checker = tool("kubernetes-validate")
    assert subprocess.run([checker, "--strict", file], check=False, capture_output=True).returncode == 1


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each Job."""
    return only(resources(KUBERNETES / request.param), "Job")


def options_of(job: dict[str, Any]) -> dict[str, str]:
    """The options among a Job's arguments."""
    given = (argument.split("=", 1) for argument in container_of(job)["args"] if argument.startswith("--"))
    return {name.removeprefix("--"): value for name, value in given}


def test_there_is_time_to_end_well(job: dict[str, Any]) -> None:
    """The grace period is longer than the drain and the wait for the last scrape together, by 30 s for the ledger."""
    options, read = options_of(job), duration(zero=True).read
    ending = sum(read(options[name], name) for name in ("drain-timeout", "metrics-linger"))
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= ending + 30


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_pods_are_restricted(name: str, kind: str) -> None:
    """They meet the standard «restricted» of pod security, write nowhere but into mounts, and cannot ask Kubernetes."""
    owner = only(resources(KUBERNETES / name), kind)
    pod, container = owner["spec"]["template"]["spec"], container_of(owner)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert container["resources"].keys() == {"requests", "limits"}


def test_a_pod_that_has_failed_is_replaced_by_another(job: dict[str, Any]) -> None:
    """And only once it is gone; a pod failure policy wants it so."""
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["podReplacementPolicy"] == "Failed"


def test_a_run_begins_when_somebody_says_so(job: dict[str, Any]) -> None:
    """What is applied sends nothing yet, and no desk holds the volume."""
    assert job["spec"]["suspend"] is True
    assert only(resources(KUBERNETES / "base"), "Deployment")["spec"]["replicas"] == 0


def test_a_second_pod_is_told_apart_from_a_failure(job: dict[str, Any]) -> None:
    """It waits for the ledger before it gives up, so that a stray one is not replaced in a hurry."""
    assert int(options_of(job)["ledger-wait"]) >= 30


def test_the_summary_is_the_termination_message(job: dict[str, Any]) -> None:
    """The program writes it where Kubernetes reads it; results of people's data go to no log."""
    options = options_of(job)
    assert options["summary"] == container_of(job)["terminationMessagePath"]
    assert options["results"] == "none"


def test_each_pod_has_its_shard() -> None:
    """There are as many shards as completions, all at work at once."""
    job = only(resources(KUBERNETES / "indexed"), "Job")
    count = job["spec"]["completions"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["parallelism"] == count
    assert options_of(job)["shard"] == f"$(JOB_COMPLETION_INDEX)/{count}"


def test_no_secret_is_in_them() -> None:
    """They are files, or variables of a Secret that the user makes; none is rendered."""
    for name in JOBS:
        found = resources(KUBERNETES / name)
        assert "Secret" not in {resource["kind"] for resource in found}
        assert "password" not in json.dumps(only(found, "ConfigMap"))


def test_what_is_scraped() -> None:
    """The pods' port, by a name that they have; the label that rules tell shards apart by; and Prometheus may."""
    found = resources(KUBERNETES / "monitoring")
    (port,) = container_of(only(resources(KUBERNETES / "base"), "Job"))["ports"]
    spec = only(found, "PodMonitor")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    (opened,) = only(found, "NetworkPolicy")["spec"]["ingress"][0]["ports"]
    assert (endpoint["port"], opened["port"]) == (port["name"], port["name"])
    assert [rule["targetLabel"] for rule in endpoint["relabelings"]] == ["shard"]
    pods = only(resources(KUBERNETES / "base"), "Job")["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= pods.items()


def test_the_rules_are_prometheus_own(tmp_path: Path) -> None:
    """The PrometheusRule holds the groups of deploy/prometheus, and promtool takes it."""
    assert FILE.read_text() == rules()
    groups = only(resources(KUBERNETES / "monitoring"), "PrometheusRule")["spec"]["groups"]
    files = [
        yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text()) for name in ("recording.yml", "alerts.yml")
    ]
    assert groups == [group for file in files for group in file["groups"]]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    done = subprocess.run(
        [tool("promtool"), "check", "rules", tmp_path / "rules.yml"], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout


def test_the_dashboard_is_grafana_s() -> None:
    """The ConfigMap holds the file, under the label that Grafana's sidecar looks for."""
    dashboard = only(resources(KUBERNETES / "monitoring"), "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = dashboard["data"].values()
    assert text == (ROOT / "deploy" / "grafana" / "veetro-batch.json").read_text()


def test_the_image_is_asked_to_do_what_it_can(job: dict[str, Any]) -> None:
    """Every argument is an option of the program."""
    container = container_of(job)
    assert "command" not in container  # the image's entry point
    assert options_of(job).keys() <= OPTIONS.keys()


def test_the_overlay_of_the_readme(tmp_path: Path) -> None:
    """What the README tells a team to write renders: their settings and volume, in their namespace, still suspended."""
    text = (ROOT / "deploy" / "README.md").read_text()
    (overlay,) = re.findall(r"<!-- overlay -->\n```yaml\n(.*?)```\n<!-- /overlay -->", text, re.DOTALL)
    base = os.path.relpath(KUBERNETES / "base", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(overlay.replace("../deploy/kubernetes/base", base))
    (tmp_path / "veetro.toml").write_text('endpoint = "https://theirs.example.com/xml"\n')
    found = resources(tmp_path)
    assert {resource["metadata"]["namespace"] for resource in found} == {"migration"}
    assert "theirs" in only(found, "ConfigMap")["data"]["veetro.toml"]
    assert only(found, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"] == "200Gi"
    job = only(found, "Job")
    assert job["spec"]["suspend"] is True
    assert container_of(job)["image"] == "registry.example.com/veetro-batch:0.1.0"
