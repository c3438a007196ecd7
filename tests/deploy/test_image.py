"""The image is built by its own Dockerfile and does its work as nobody, with nothing to write to but its mounts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from batcher import __version__
from batcher.sandbox import Sandbox
from tests.deploy.image import BUILD_IMAGE, DOCKERFILE, RUN_IMAGE, TOOLS, USER, Image, run
from tests.deploy.manifests import KUBERNETES, PLACEHOLDER_ENDPOINT, container_of, only, resources, tool
from tests.e2e.program import many

RECORDS = 500
PROGRAM = "/opt/veetro-batch/bin/veetro-batch"


def test_lint() -> None:
    """Hadolint finds nothing."""
    done = subprocess.run([tool("hadolint"), DOCKERFILE], check=False, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def test_what_is_installed_is_pinned() -> None:
    """Every package of Python comes from a lock file with its hash; the wheel and its install ask nobody."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&\n]*", text)
    assert len(installs) == 4
    assert all(("--require-hashes" in one) != ("--no-deps" in one and "--no-index" in one) for one in installs)


def test_the_test_replaces_what_it_says() -> None:
    """The images that are made up here are those that the Dockerfile starts from."""
    named = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE))
    assert (f"docker.io/library/{named['BUILD_IMAGE']}", named["RUN_IMAGE"]) == (BUILD_IMAGE, RUN_IMAGE)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image. It takes minutes, so only where CI is set to true, which is to have all that it needs."""
    if os.environ.get("CI") != "true":
        pytest.skip("takes minutes; CI=true builds it (as root; packages: tests/deploy/apt-packages.txt)")
    assert [name for name in TOOLS if shutil.which(name) is None] == []
    made = Image(tmp_path_factory.mktemp("image"))
    made.build()
    yield made
    made.close()


@pytest.mark.timeout(900)
def test_a_pod_in_its_image(image: Image, tmp_path: Path, sandbox: Sandbox) -> None:
    """Built, it runs the base Job's own arguments at their own paths, without a shell, a writable root or any right."""
    root = image.unpack()
    assert image.configured("Entrypoint") == f"[{PROGRAM}]"
    assert image.configured("User") == f"{USER}:{USER}"
    shells = [root / folder / name for folder in ("bin", "usr/bin") for name in ("sh", "bash", "dash", "busybox")]
    assert [str(shell) for shell in shells if shell.exists()] == []
    version = run(root, [PROGRAM, "--version"], {})
    assert (version.returncode, version.stdout) == (0, f"veetro-batch {__version__}\n"), version.stderr

    found = resources(KUBERNETES / "base")
    mounts = {"/dev/termination-log": tmp_path / "message"} | {
        mount["mountPath"]: tmp_path / mount["name"] for mount in container_of(only(found, "Job"))["volumeMounts"]
    }
    for folder in list(mounts.values())[1:]:
        folder.mkdir()
        shutil.chown(folder, group=USER)
        folder.chmod(0o2770)
    settings = only(found, "ConfigMap")["data"]["veetro.toml"]
    (tmp_path / "settings" / "veetro.toml").write_text(settings.replace(PLACEHOLDER_ENDPOINT, sandbox.url))
    (tmp_path / "login" / "password").write_text("open-sesame")
    (tmp_path / "volume" / "records.ndjson").write_bytes(many(RECORDS))
    (tmp_path / "message").touch()
    (tmp_path / "message").chmod(0o666)
    here = {"--metrics-port=9464": "--metrics-port=0", "--metrics-linger=60": "--metrics-linger=0"}
    arguments = [here.get(argument, argument) for argument in container_of(only(found, "Job"))["args"]]
    done = run(root, [PROGRAM, *arguments], mounts)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "message").read_text())["outcomes"]["delivered"] == RECORDS
    assert len(sandbox.stats().applied) == RECORDS
    assert (tmp_path / "volume" / "ledger").stat().st_uid == USER
    verified = run(root, [PROGRAM, "verify", "/var/lib/veetro-batch/ledger", arguments[0]], mounts)
    assert verified.returncode == 0, verified.stderr
