"""A store that speaks S3, in a process of its own, and a way to it that can be cut, held up and listened to."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Self

import obstore
from obstore.store import S3Store

BUCKET = "acme"
SECRET = "s3cr3t-0ddba11"
"""Of the key that signs requests."""
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
_RANGE = re.compile(rb"\r\nrange: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)
_PIECE = 16 * 1024


def environ(port: int, **others: str) -> dict[str, str]:
    """What tells the program where the store is and who asks."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIATESTING",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        **others,
    }


class Bucket:
    """One of a store's.

    Attributes:
        port: of the store, on loopback.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._store = S3Store(
            BUCKET,
            endpoint=f"http://127.0.0.1:{port}",
            access_key_id="AKIATESTING",
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
        )
        made = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(made, timeout=30).close()

    def put(self, key: str, text: bytes) -> str:
        """Let the object *key* hold *text*; its address."""
        obstore.put(self._store, key, text)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        """All that the object holds."""
        return bytes(obstore.get(self._store, key).bytes())

    def keys(self) -> set[str]:
        """Of all objects."""
        return {meta["path"] for batch in obstore.list(self._store) for meta in batch}

    def delete(self, key: str) -> None:
        """Let there be no such object."""
        obstore.delete(self._store, key)

    def signed(self, key: str) -> str:
        """An address on the web with which everyone can read the object."""
        return obstore.sign(self._store, "GET", key, timedelta(hours=1))


@contextlib.contextmanager
def serving() -> Iterator[Bucket]:
    """A store with an empty bucket."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Bucket(int(process.stdout.readline()))
        process.communicate(timeout=30)


class Way:
    """A way to a store: passes each request on, and of each answer as much as it is told.

    Attributes:
        port: where it begins.
        cut: bytes of an answer after which its connection is cut; None for none.
        on_cut: called before it is.
        silent: is set when a request has come that is not answered: any one for more than ``HEAD`` bytes, where asked.
        hold: answer no request for more than a few bytes.
        asked: first byte and byte behind the last one of all requests so far.
        passed: bytes of answers so far.
    """

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.cut: int | None = None
        self.on_cut: Callable[[], Any] = list
        self.hold = False
        self.silent = threading.Event()
        self._closed = threading.Event()
        self.asked: list[tuple[int, int]] = []
        self.passed = 0
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                thread = threading.Thread(target=self._pass, args=(near,))
                self._threads.append(thread)
                thread.start()

    def _pass(self, near: socket.socket) -> None:
        with near, contextlib.suppress(ConnectionError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (more := near.recv(_PIECE)):
                    return
                head += more
            if found := _RANGE.search(head):
                begin, end = int(found[1]), int(found[2]) + 1
                self.asked.append((begin, end))
                if self.hold and end - begin > 4:
                    self.silent.set()
                    self._closed.wait(30)
                    return
            with socket.create_connection(("127.0.0.1", self._behind)) as far:
                far.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                self._answer(near, far)

    def _answer(self, near: socket.socket, far: socket.socket) -> None:
        left = self.cut
        while piece := far.recv(_PIECE):
            near.sendall(piece)
            self.passed += len(piece)
            if left is not None:
                left -= len(piece)
                if left < 0:
                    self.on_cut()
                    return
