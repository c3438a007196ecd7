"""What Kubernetes does about a pod that has failed: the rules of a Job, as the documentation of batch/v1 has them.

https://kubernetes.io/docs/concepts/workloads/controllers/job/ : pod failure policy, back-off limit per index.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

KILLED = 137
"""Exit code of a container that was killed (128 + SIGKILL), for want of memory as well."""


def action_on(spec: dict[str, Any], code: int, *, disrupted: bool) -> str:
    """Ignore, FailIndex, FailJob or Count: what the first rule that matches says of a pod that ended with *code*.

    Args:
        spec: of the Job.
        code: of its one container; not 0.
        disrupted: Kubernetes itself has ended the pod, and says so by the condition DisruptionTarget.
    """
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        if _matches(rule, code, disrupted=disrupted):
            return str(rule["action"])
    return "Count"


def _matches(rule: dict[str, Any], code: int, *, disrupted: bool) -> bool:
    if "onPodConditions" in rule:
        wanted = {(one["type"], one.get("status", "True")) for one in rule["onPodConditions"]}
        return disrupted and ("DisruptionTarget", "True") in wanted
    codes = rule["onExitCodes"]
    return bool((code in codes["values"]) == (codes["operator"] == "In"))


@dataclass
class Standing:
    """How a Job stands.

    Attributes:
        spec: of the Job.
        succeeded: indexes that are done.
        failed: indexes that are given up.
        failures: failures that count, by index.
        condition: ``Complete`` or ``Failed`` once it is over.
    """

    spec: dict[str, Any]
    succeeded: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    failures: Counter[int] = field(default_factory=Counter)
    condition: str = ""

    @property
    def open(self) -> list[int]:
        """Indexes that are neither done nor given up; a Job that is over has none."""
        ended = self.succeeded | self.failed
        return [] if self.condition else [index for index in range(self.spec["completions"]) if index not in ended]

    def ended(self, index: int, code: int, *, disrupted: bool) -> str:
        """A pod of *index* has ended; what is done about it."""
        if code == 0:
            self.succeeded.add(index)
            self.failed.discard(index)
            action = "Succeeded"
        else:
            action = self._failed(index, action_on(self.spec, code, disrupted=disrupted))
        if not self.condition and not self.open:
            self.condition = "Failed" if self.failed else "Complete"
        return action

    def _failed(self, index: int, action: str) -> str:
        if action == "FailJob":
            self.condition = "Failed"
        elif action == "FailIndex":
            self.failed.add(index)
        elif action == "Count":
            self.failures[index] += 1
            if "backoffLimitPerIndex" in self.spec:
                if self.failures[index] > self.spec["backoffLimitPerIndex"]:
                    self.failed.add(index)
            elif self.failures.total() > self.spec["backoffLimit"]:
                self.condition = "Failed"
        return action
