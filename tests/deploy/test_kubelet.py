"""What stands in for Kubernetes does with a template what Kubernetes does with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.deploy.kubelet import Kubelet, expand
from tests.deploy.manifests import KUBERNETES, only, resources


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("--shard=$(JOB_COMPLETION_INDEX)/16", "--shard=3/16"),
        ("$(UNKNOWN) $JOB_COMPLETION_INDEX", "$(UNKNOWN) $JOB_COMPLETION_INDEX"),
        ("$$(JOB_COMPLETION_INDEX)", "$(JOB_COMPLETION_INDEX)"),
    ],
)
def test_references(text: str, expanded: str) -> None:
    """A variable is put in by its name, an unknown one is left as it stands, and a doubled sign is no reference."""
    assert expand(text, {"JOB_COMPLETION_INDEX": "3"}) == expanded


def test_where_things_are(tmp_path: Path) -> None:
    """Settings and secrets are files of the pod, the claim is the same for all; the program is told these places."""
    found = resources(KUBERNETES / "base")
    replaced = {"acme.com": "acme.org", "--metrics-port=9464": "--metrics-port=0"}
    kubelet = Kubelet(tmp_path, found, {"veetro-batch-login": {"password": "a"}}, replaced)
    os.mkfifo(kubelet.claim("veetro-batch") / "records.ndjson")  # nobody writes it: the pod runs until it is killed
    pod = kubelet.start("pod", only(found, "Job")["spec"]["template"], 0, indexed=False)
    pod.kill()
    kubelet.close()
    arguments = pod.process.args
    assert isinstance(arguments, list)
    assert f"--ledger={kubelet.claim('veetro-batch')}/ledger" in arguments
    assert f"--summary={pod.folder}/message" in arguments
    assert f"--config={pod.folder}/settings/veetro.toml" in arguments
    assert 'email = "migration@acme.org"' in (pod.folder / "settings" / "veetro.toml").read_text()
    assert (pod.folder / "login" / "password").read_text() == "a"
    assert (pod.code, pod.message) == (137, None)
