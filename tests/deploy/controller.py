"""Does with a Job what Kubernetes' Job controller does with it; the waits between two pods of an index are left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.deploy.kubelet import Kubelet, Pod
from tests.deploy.manifests import Resource
from tests.deploy.policy import Standing
from tests.e2e.program import PATIENCE_S

_LOOK_EVERY_S = 0.005


class Controller:
    """Runs one Job.

    Attributes:
        standing: how it stands.
        suspended: nothing is started, and what ran was told to end; how it ends is judged like any other end.
        pods: all that were ever started, in their order.
        running: those that have not ended.
        log: what happened, a line each.
    """

    def __init__(self, job: Resource, kubelet: Kubelet) -> None:
        spec = job["spec"]
        self.standing = Standing(spec)
        self.suspended: bool = spec.get("suspend", False)
        self.pods: list[Pod] = []
        self.running: list[Pod] = []
        self.log: list[str] = []
        self._template: Resource = spec["template"]
        self._kubelet = kubelet
        self._indexed = spec.get("completionMode") == "Indexed"
        self._parallelism: int = spec["parallelism"]

    def active(self, index: int = 0) -> Pod | None:
        """The pod that runs for *index*."""
        return next((pod for pod in self.running if pod.index == index and pod.kill_at is None), None)

    def start(self, index: int) -> Pod:
        """Start a pod for *index*, also where there is one: what a node that was cut off can lead to."""
        pod = self._kubelet.start(f"pod-{len(self.pods)}", self._template, index, indexed=self._indexed)
        self.pods.append(pod)
        self.running.append(pod)
        self.tell(pod, "started")
        return pod

    def suspend(self) -> None:
        """What ``kubectl patch`` of ``suspend: true`` leads to."""
        self.suspended = True
        for pod in self.running:
            pod.stop()
            self.tell(pod, "deleted: suspended")

    def resume(self) -> None:
        """And of ``suspend: false``."""
        self.suspended = False
        self.log.append("resumed")

    @contextmanager
    def standstill(self, but: int | None = None) -> Iterator[None]:
        """The pods that run now are frozen meanwhile, but for that of an index: none ends before it was looked at."""
        frozen = [pod for pod in self.running if pod.index != but]
        for pod in frozen:
            pod.freeze()
        yield
        for pod in frozen:
            pod.thaw()

    def step(self) -> None:
        """Take account of the pods that have ended, and start those that are missing."""
        for pod in list(self.running):
            code = pod.code
            if code is not None:
                self.running.remove(pod)
                self._ended(pod, code)
        if self.standing.condition:
            for pod in self.running:
                if pod.kill_at is None:
                    pod.stop()
        elif not self.suspended:
            for index in self._missing():
                self.start(index)

    def run_until(self, seen: Callable[[], object]) -> None:
        """Go on until *seen* says so."""
        end = time.monotonic() + PATIENCE_S
        while not seen():
            assert time.monotonic() < end, self.log
            assert not (self.standing.condition and not self.running), self.log
            self.step()
            time.sleep(_LOOK_EVERY_S)

    def finish(self) -> str:
        """Go on until the Job is over and no pod is left; how it ended."""
        self.run_until(lambda: self.standing.condition and not self.running)
        self.log.append(f"Job {self.standing.condition}")
        return self.standing.condition

    def tell(self, pod: Pod, what: str) -> None:
        """Note what has happened to *pod*."""
        self.log.append(f"{pod.name} (index {pod.index}) {what}")

    def _missing(self) -> Iterator[int]:
        """Indexes that want a pod. One that is being ended is waited for: podReplacementPolicy is Failed."""
        room = self._parallelism - len(self.running)
        active = {pod.index for pod in self.running}
        yield from [index for index in self.standing.open if index not in active][: max(0, room)]

    def _ended(self, pod: Pod, code: int) -> None:
        action = self.standing.ended(pod.index, code, disrupted=pod.disrupted)
        self.tell(pod, f"ended with {code}{', evicted' if pod.disrupted else ''}: {action}")
