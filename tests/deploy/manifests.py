"""What Kubernetes would be given, and the tools that make and check it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.program import ROOT

Resource = dict[str, Any]

KUBERNETES = ROOT / "deploy" / "kubernetes"
PLACEHOLDER_ENDPOINT = "https://acme.worketc.com/xml"


def tool(name: str) -> str:
    """Where *name* is: beside this Python, or on the path. The test is skipped without it, but fails in CI."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        reason = f"needs {name}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@functools.cache
def rendered(folder: Path) -> str:
    """What ``kubectl apply -k`` would apply, as text; a folder is rendered once."""
    done = subprocess.run([tool("kubectl"), "kustomize", folder], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resources(folder: Path) -> list[Resource]:
    """The same, read."""
    return list(yaml.safe_load_all(rendered(folder)))


def only(found: Iterable[Resource], kind: str, name: str | None = None) -> Resource:
    """The one resource of this kind, and name."""
    (resource,) = (one for one in found if one["kind"] == kind and name in (None, one["metadata"]["name"]))
    return resource


def container_of(job: Resource) -> Resource:
    """The one container of a Job's pods."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


def own_overlay(folder: Path, patches: list[Resource], *, of: Path) -> Path:
    """A kustomization in *folder*, as a team would write it, that changes the Job of *of* by JSON patches."""
    patch = {"target": {"kind": "Job"}, "patch": yaml.safe_dump(patches)}
    content = {"resources": [os.path.relpath(of, folder)], "patches": [patch]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder
