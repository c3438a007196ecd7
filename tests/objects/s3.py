"""A store that speaks S3: moto's."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import obstore
from obstore.store import S3Store

from tests.objects.store import BUCKET, SECRET, Bucket
from tests.prometheus.server import PATIENCE_S

_SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until who started it has ended
server.stop()
"""


def environ(port: int) -> dict[str, str]:
    """What tells the program where the store is and who asks."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIATESTING",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


class S3Bucket(Bucket):
    """A bucket in S3."""

    scheme = "s3"

    def __init__(self, port: int) -> None:
        self.signer = S3Store(
            BUCKET,
            endpoint=f"http://127.0.0.1:{port}",
            access_key_id="AKIATESTING",
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
        )
        super().__init__(port, self.signer)
        made = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(made, timeout=PATIENCE_S).close()

    def environ(self, port: int | None = None) -> dict[str, str]:
        """Of the store, or a way to it."""
        return environ(port or self.port)

    def denied(self) -> dict[str, str]:
        """Nobody."""
        return {"AWS_SKIP_SIGNATURE": "true"}

    def signed(self, key: str) -> str:
        """An address on the web with which everyone can read the object."""
        return obstore.sign(self.signer, "GET", key, timedelta(hours=1))


@contextlib.contextmanager
def serving() -> Iterator[S3Bucket]:
    """A store with an empty bucket."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield S3Bucket(int(server.stdout.readline()))
        server.communicate(timeout=PATIENCE_S)
