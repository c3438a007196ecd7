"""Starts a pod as a process of this machine, by what its template says: arguments, variables, mounts, working folder.

Replaced are: the image, by this tree and the Python that runs the tests; the paths of mounts, by folders of the test;
and what a test says, such as the address of the service. Users, limits and network are those of the test. The
termination message is a file of its own, and cut as the kubelet cuts it.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.manifests import Resource, only
from tests.e2e.program import PATIENCE_S, Program

_REFERENCE = re.compile(r"\$(\$\(\w+\)|\((\w+)\))")
_MESSAGE_BYTES = 4096
"""Of a termination message the kubelet takes the last so many."""
_INDEX = "JOB_COMPLETION_INDEX"


@dataclass
class Pod:
    """A pod that runs, or has ended.

    Attributes:
        index: which part of the Job it does.
        process: its container.
        disrupted: it was evicted.
        kill_at: when its grace period is over.
    """

    name: str
    index: int
    process: subprocess.Popen[bytes]
    folder: Path
    grace: float
    disrupted: bool = False
    kill_at: float | None = None

    @property
    def code(self) -> int | None:
        """Exit code as Kubernetes tells it; None while it runs."""
        if self.kill_at is not None and time.monotonic() > self.kill_at:
            self.process.kill()
        code = self.process.poll()
        return 128 - code if code is not None and code < 0 else code

    def kill(self) -> None:
        """The kernel ends it, as where memory is short or a node dies."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> None:
        """SIGTERM now, SIGKILL when its grace period is over."""
        self.process.terminate()
        self.kill_at = time.monotonic() + self.grace

    def freeze(self) -> None:
        """Its node is cut off: it holds what it holds, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Its node is back."""
        self.process.send_signal(signal.SIGCONT)

    def evict(self) -> None:
        """A node is drained, or a more important pod needs the room."""
        self.disrupted = True
        self.stop()

    @property
    def log(self) -> str:
        """What it printed."""
        return (self.folder / "log").read_text()

    @property
    def message(self) -> dict[str, Any] | None:
        """Its termination message: the summary; None where it did not get so far."""
        text = (self.folder / "message").read_bytes()[-_MESSAGE_BYTES:]
        return dict(json.loads(text)) if text else None


class Kubelet:
    """Starts pods and ends those that are left.

    Args:
        folder: of the test; each volume claim is a folder in it, each pod has one of its own.
        found: resources that pods refer to.
        secrets: texts by name and key, as the user has created them.
        replaced: texts for texts, in arguments, variables, secrets and settings; ``{index}`` is the pod's index.
    """

    def __init__(
        self,
        folder: Path,
        found: Iterable[Resource],
        secrets: Mapping[str, Mapping[str, str]],
        replaced: Mapping[str, str],
    ) -> None:
        self.folder = folder
        self._found = list(found)
        self._secrets = secrets
        self._replaced = replaced
        self._programs: list[Program] = []

    def claim(self, name: str) -> Path:
        """The folder that stands for a volume."""
        folder = self.folder / f"claim-{name}"
        folder.mkdir(exist_ok=True)
        return folder

    def start(self, name: str, template: Resource, index: int, *, indexed: bool) -> Pod:
        """Start a pod."""
        folder = self.folder / name
        folder.mkdir()
        spec = template["spec"]
        (container,) = spec["containers"]
        texts = {**self._replaced, "{index}": str(index)}
        (folder / "message").touch()
        places = {container["terminationMessagePath"]: str(folder / "message")}
        for mount in container["volumeMounts"]:
            volume = next(one for one in spec["volumes"] if one["name"] == mount["name"])
            places[mount["mountPath"]] = str(self._lay_out(folder, volume, texts))
        variables = {_INDEX: str(index)} if indexed else {}
        variables |= self._variables(container, texts)
        texts |= places
        arguments = [_put(expand(text, variables), texts) for text in container["args"]]
        program = Program(Path(_put(container["workingDir"], texts)))
        self._programs.append(program)
        with (folder / "log").open("wb") as log:
            process = program.start(*arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, environ=variables)
        return Pod(name, index, process, folder, spec["terminationGracePeriodSeconds"])

    def close(self) -> None:
        """End what still runs."""
        for program in self._programs:
            program.close()

    def _lay_out(self, folder: Path, volume: Resource, texts: Mapping[str, str]) -> Path:
        """The folder that stands for *volume*, with the files that it has from the beginning."""
        if "persistentVolumeClaim" in volume:
            return self.claim(str(volume["persistentVolumeClaim"]["claimName"]))
        place = folder / str(volume["name"])
        place.mkdir()
        for name, text in self._files(volume).items():
            (place / name).write_text(_put(text, texts))
        return place

    def _files(self, volume: Resource) -> Mapping[str, str]:
        if "configMap" in volume:
            data: dict[str, str] = only(self._found, "ConfigMap", volume["configMap"]["name"])["data"]
            return data
        return self._secrets[volume["secret"]["secretName"]] if "secret" in volume else {}

    def _variables(self, container: Resource, texts: Mapping[str, str]) -> dict[str, str]:
        """Also those of secrets; a secret that is optional need not be there."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            known = self._secrets.get(source["secretRef"]["name"])
            assert known is not None or source["secretRef"].get("optional"), source
            found |= known or {}
        for entry in container.get("env", ()):
            if "valueFrom" in entry:
                reference = entry["valueFrom"]["secretKeyRef"]
                text = self._secrets[reference["name"]][reference["key"]]
            else:
                text = expand(entry["value"], found)
            found[entry["name"]] = _put(text, texts)
        return found


def _put(text: str, texts: Mapping[str, str]) -> str:
    """*text* with others in it, all at once: what was put in is not looked at again."""
    longest_first = sorted(texts, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: texts[found[0]], text)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` as Kubernetes expands it: an unknown name stays as it is, ``$$(NAME)`` is no reference."""
    return _REFERENCE.sub(lambda found: variables.get(found[2], found[0]) if found[2] else found[1], text)
