"""A store that speaks as Azure's blob storage does: Microsoft's Azurite, a package of npm that ``.ci/run`` installs."""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import re
import shutil
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

from obstore.store import AzureStore

from tests.objects.store import BUCKET, SECRET, Bucket, absent, process
from tests.prometheus.server import PATIENCE_S, wait_for

ACCOUNT = "acmestorage"
KEY = base64.b64encode(SECRET.encode().ljust(64, b"-")).decode()
_VERSION = "2021-08-06"
"""Of the service; any that knows containers."""


class AzureBucket(Bucket):
    """A container in an account."""

    scheme = "az"

    def __init__(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        store = AzureStore(
            BUCKET, account_name=ACCOUNT, account_key=KEY, endpoint=url, client_options={"allow_http": True}
        )
        super().__init__(port, store)
        urllib.request.urlopen(_creation(url), timeout=PATIENCE_S).close()

    def environ(self, port: int | None = None) -> dict[str, str]:
        """Of the store, or a way to it."""
        return {
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port or self.port}/{ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }

    def denied(self) -> dict[str, str]:
        """Somebody with another key."""
        return {"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(bytes(64)).decode()}


def _creation(url: str) -> urllib.request.Request:
    """The request that makes the container; obstore has none for it."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
    told = "".join(f"{name}:{value}\n" for name, value in headers.items())
    # Method, twelve standard headers that are empty, our own, and what is asked for.
    text = "PUT" + "\n" * 12 + told + f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    return urllib.request.Request(f"{url}/{BUCKET}?restype=container", method="PUT", headers=headers)


def _azurite() -> Path:
    """Where it is installed: outside the repository."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "veetro-batch-tests" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[AzureBucket]:
    """A store with an empty container, that keeps its log in *directory*. Without Azurite the test is skipped."""
    node, program = shutil.which("node"), _azurite()
    if node is None or not program.exists():
        absent("azurite (.ci/run does it, with npm)")
    log = directory / "azurite.log"
    options = ("--blobPort=0", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent")
    with process([node, program, *options], log, AZURITE_ACCOUNTS=f"{ACCOUNT}:{KEY}") as server:

        def port() -> int:
            assert server.poll() is None, log.read_text()
            found = re.search(r"successfully listens on http://127\.0\.0\.1:(\d+)", log.read_text())
            return int(found[1]) if found else 0

        yield AzureBucket(wait_for(port))
