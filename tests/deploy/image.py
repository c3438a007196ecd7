"""Builds the image by its own Dockerfile, and runs it as Kubernetes would: no daemon, no registry of images.

The two images that it starts from are replaced by what they are made of: ``debian:12-slim`` by Debian's minimal system,
the distroless one by the Debian packages that it lists (no shell among them), both out of Debian's archive. The builder
sees the network and trusts the authorities of this machine. All else is done by buildah, step for step.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.program import ROOT

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
BUILD_IMAGE, RUN_IMAGE = "docker.io/library/debian:12-slim", "gcr.io/distroless/python3-debian12:nonroot"
TOOLS = ("buildah", "mmdebstrap", "apt-get", "dpkg-deb", "unshare", "setpriv")
USER = 65532

# https://github.com/GoogleContainerTools/distroless, python3: what Python's standard library is linked with.
_RUN_PACKAGES = (
    *("libbz2-1.0", "libc6", "libcom-err2", "libcrypt1", "libdb5.3", "libexpat1", "libffi8", "libgcc-s1"),
    *("libgssapi-krb5-2", "libk5crypto3", "libkeyutils1", "libkrb5-3", "libkrb5support0", "liblzma5", "libncursesw6"),
    *("libnsl2", "libpython3.11-minimal", "libpython3.11-stdlib", "libreadline8", "libsqlite3-0", "libssl3"),
    *("libstdc++6", "libtinfo6", "libtirpc3", "libuuid1", "netbase", "python3.11-minimal", "tzdata", "zlib1g"),
    "ca-certificates",
)
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


class Image:
    """An image that is built in *folder*; its files are removed when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buildah = ("buildah", "--root", folder / "images", "--runroot", folder / "running")
        self._image = "veetro-batch"

    def build(self) -> str:
        """Build it; what the builder said."""
        self._make_debian()
        self._make_distroless()
        return self._do(
            *("build", "--pull-never", "--network=host", "--isolation=chroot", "--tag", self._image),
            *("--file", DOCKERFILE, "--ignorefile", f"{DOCKERFILE}.dockerignore", ROOT),
        )

    def unpack(self) -> Path:
        """Its files, as a container has them."""
        return Path(self._do("mount", self._do("from", "--pull-never", f"localhost/{self._image}")))

    def configured(self, what: str) -> str:
        """What it says of its entry point or its user, in Go's words."""
        return self._do("inspect", "--type=image", "--format", f"{{{{.OCIv1.Config.{what}}}}}", self._image)

    def close(self) -> None:
        """Remove everything."""
        for command in (("umount", "--all"), ("rm", "--all"), ("rmi", "--all", "--force")):
            self._do(*command)

    def _make_debian(self) -> None:
        archive = self._folder / "debian.tar"
        _run("mmdebstrap", "--variant=minbase", "bookworm", archive, "http://deb.debian.org/debian")
        container = self._do("from", "scratch")
        self._do("add", "--quiet", container, archive, "/")
        archive.unlink()
        (self._folder / "pip.conf").write_text("[global]\ncert = /etc/authorities.crt\n")
        self._do("add", "--quiet", container, self._folder / "pip.conf", "/etc/pip.conf")
        self._do("add", "--quiet", container, _AUTHORITIES, "/etc/authorities.crt")
        self._do("commit", "--quiet", "--rm", container, BUILD_IMAGE)

    def _make_distroless(self) -> None:
        packages, root = self._folder / "packages", self._folder / "distroless"
        packages.mkdir()
        _run("apt-get", "-o", "APT::Sandbox::User=root", "download", *_RUN_PACKAGES, folder=packages)
        for package in packages.iterdir():
            _run("dpkg-deb", "--extract", package, root)
        (root / "usr" / "bin" / "python3").symlink_to("python3.11")
        container = self._do("from", "scratch")
        self._do("add", "--quiet", container, root, "/")
        self._do("commit", "--quiet", "--rm", container, RUN_IMAGE)
        shutil.rmtree(packages)
        shutil.rmtree(root)

    def _do(self, *arguments: str | Path) -> str:
        return _run(*self._buildah, *arguments)


def run(root: Path, command: Sequence[str], mounts: Mapping[str, Path]) -> subprocess.CompletedProcess[str]:
    """Run *command* in *root* as a container runtime would, and wait for its end.

    The root is read-only, the user a number without rights, group included, that can gain none; besides *mounts* there
    is a /proc and what a /dev must have. The network is this machine's.
    """
    devices = {f"/dev/{name}": Path("/dev") / name for name in ("null", "urandom")}
    mounts = {**devices, "/proc": Path("/proc"), **mounts}
    for place, source in mounts.items():
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
    steps = [f'mount --bind "{root}" "{root}"', f'mount -o remount,bind,ro "{root}"']
    steps += [f'mount --bind "{source}" "{root}{place}"' for place, source in mounts.items()]
    steps += [f'exec setpriv --no-new-privs chroot --userspec={USER}:{USER} --groups= "{root}" "$@"']
    return subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-ec", "\n".join(steps), "sh", *command],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _run(*command: str | Path, folder: Path | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()
