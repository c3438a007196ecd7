"""The rules that are shipped: what promtool says of them, and whether all that they name exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client import generate_latest

from batcher.commands import COMMANDS
from batcher.observe.metrics import make_registry
from batcher.observe.tally import Tally
from batcher.settings import OPTIONS
from tests.e2e.program import ROOT
from tests.prometheus.server import Prometheus

RULES = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "deploy" / "runbooks"
ALERTS = {
    "VeetroBatchStalled", "VeetroBatchRejectRatioHigh", "VeetroBatchInDoubtRecords", "VeetroBatchPaused",
    "VeetroBatchServiceSlow", "VeetroBatchSessionFailing", "VeetroBatchLedgerSlow", "VeetroBatchNotSucceeded",
}  # fmt: skip
OF_COMMANDS = {"show-config", "line", "applied", "not-applied"}
"""Options that are no settings."""


@pytest.fixture(scope="module")
def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    """As Prometheus has read them."""
    groups = json.loads(prometheus.get("/api/v1/rules"))["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["name"]: rule for rule in rules if rule["type"] == "alerting"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
@pytest.mark.parametrize(
    "arguments", [("check", "rules", "recording.yml", "alerts.yml"), ("test", "rules", "rules_test.yml")]
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    """The rules are well-formed, and each alert fires when it should and not when it should not."""
    done = subprocess.run(["promtool", *arguments], cwd=RULES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tried_both_ways(alerts: dict[str, Any]) -> None:
    """For every alert there is a case in which it fires and one in which it does not."""
    assert alerts.keys() == ALERTS
    text = (RULES / "rules_test.yml").read_text()
    for name in alerts:
        assert re.search(rf"alertname: {name}\s+eval_time: \w+\s+exp_alerts:\s+- exp_labels", text), name
        assert re.search(rf"alertname: {name}, eval_time: \w+, exp_alerts: \[\]", text), name


def test_alerts_say_what_who_is_called_needs(alerts: dict[str, Any]) -> None:
    """Each waits a while, has a severity, a summary, a description, and the address of its runbook."""
    for name, alert in alerts.items():
        told = alert["annotations"]
        assert alert["duration"] >= 60, name
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert told["summary"].endswith(".")
        assert "{{" not in told["summary"]
        assert "$labels.job" in told["description"]
        assert told["runbook_url"] == f"https://runbooks.example.com/veetro-batch/{name}.md"


def test_recorded_names(rules: list[dict[str, Any]]) -> None:
    """Recorded series are named level:metric:operations, where the levels are labels that the sum keeps."""
    recorded = {rule["name"]: rule["query"] for rule in rules if rule["type"] == "recording"}
    assert len(recorded) == 6
    for name, query in recorded.items():
        level, metric, operations = name.split(":")
        assert metric.startswith("veetro_batch_")
        assert re.fullmatch(r"(ratio_|p95_)?rate\d+m", operations)
        if level != "instance":
            assert f"by ({level.replace('_', ', ')}" in query


@pytest.fixture(scope="module")
def page() -> str:
    """All that the program can tell, as ``/metrics`` shows it."""
    tally = Tally()
    tally.last_progress = tally.started
    tally.end(0)
    return generate_latest(make_registry(tally)).decode()


def names(page: str) -> set[str]:
    return set(re.findall(r"^(veetro_batch_\w+)", page, re.MULTILINE))


def test_rules_name_what_is_told(rules: list[dict[str, Any]], page: str) -> None:
    """Every metric, and every value of a label, in a rule is one that the program tells, or that is recorded."""
    told = names(page) | {rule["name"] for rule in rules}
    for rule in rules:
        assert set(re.findall(r"\w*:?veetro_batch_[\w:]+", rule["query"])) <= told, rule["query"]
        for label, values in re.findall(r'(outcome|verdict|reason)!?=~?"([\w|]+)"', rule["query"]):
            assert all(f'{label}="{value}"' in page for value in values.split("|")), rule["query"]


def test_every_alert_has_its_runbook(page: str) -> None:
    """A page each: Meaning, Impact, Diagnosis, Mitigation; its commands, options and metrics exist."""
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text()
        assert re.findall("^#+ (.*)$", text, re.MULTILINE) == [
            path.stem, "Meaning", "Impact", "Diagnosis", "Mitigation"
        ]  # fmt: skip
        for command in re.findall(r"`veetro-batch (\w\S*)", text):
            assert command in COMMANDS, f"{path}: {command}"
        for option in re.findall(r"--([a-z][a-z-]+)", text):
            assert option in OPTIONS or option in OF_COMMANDS, f"{path}: --{option}"
        assert set(re.findall(r"VeetroBatch\w+", text)) <= ALERTS
        metrics = set(re.findall(r"veetro_batch_\w+", text))
        histograms = {name.removesuffix("_bucket") for name in names(page)}
        assert metrics <= names(page) | histograms, path
