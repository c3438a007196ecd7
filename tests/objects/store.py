"""A bucket in a store that runs here, in a process of its own. Each kind of store has a module: s3, azure, google."""

from __future__ import annotations

import contextlib
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NoReturn

import obstore
import pytest
from obstore.store import ObjectStore

from tests.prometheus.server import PATIENCE_S

BUCKET = "acme"
SECRET = "s3cr3t-0ddba11"
"""A part of each key that signs requests, where a key may be any text."""


class Bucket(ABC):
    """One of a store's, empty at first.

    Attributes:
        scheme: of its objects' addresses.
        port: of the store, on loopback.
    """

    scheme: ClassVar[str]

    def __init__(self, port: int, store: ObjectStore) -> None:
        self.port = port
        self.store = store

    @abstractmethod
    def environ(self, port: int | None = None) -> dict[str, str]:
        """What tells the program where the store is, or a way to it that begins at *port*, and who asks."""

    @abstractmethod
    def denied(self) -> dict[str, str]:
        """What makes it ask as somebody who may not read, and be told so."""

    def address(self, key: str) -> str:
        """Of an object."""
        return f"{self.scheme}://{BUCKET}/{key}"

    def put(self, key: str, text: bytes) -> str:
        """Let the object *key* hold *text*; its address."""
        obstore.put(self.store, key, text)
        return self.address(key)

    def get(self, key: str) -> bytes:
        """All that the object holds."""
        return bytes(obstore.get(self.store, key).bytes())

    def keys(self) -> set[str]:
        """Of all objects."""
        return {meta["path"] for batch in obstore.list(self.store) for meta in batch}

    def delete(self, key: str) -> None:
        """Let there be no such object."""
        obstore.delete(self.store, key)


def absent(software: str) -> NoReturn:
    """Skip the test that needs it, but fail where CI is set to true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {software}")
    pytest.skip(f"not installed: {software}")


@contextlib.contextmanager
def process(command: Sequence[str | Path], log: Path, **others: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that runs until the end of the context; *others* are variables of its environment."""
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env={**os.environ, **others}
        ) as server,
    ):
        try:
            yield server
        finally:
            server.terminate()
            server.wait(PATIENCE_S)
