"""What stands in for Kubernetes does with a template what Kubernetes does with it."""

from __future__ import annotations

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
    kubelet = Kubelet(tmp_path, found, {"veetro-batch-login": {"password": "a"}}, {"acme.com": "acme.org"})
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
