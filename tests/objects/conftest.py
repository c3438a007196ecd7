from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.program import Program
from tests.e2e.servers import Background
from tests.objects.store import Bucket, Way, environ, serving


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """A bucket that all tests share."""
    with serving() as made:
        yield made


@pytest.fixture
def way(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """The way on which this process asks the store."""
    with Way(bucket.port) as made:
        for name, value in environ(made.port).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, run in a directory of its own."""
    with contextlib.closing(Program(tmp_path)) as started:
        yield started


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """Where sandboxes run."""
    with Background() as running:
        yield running


@pytest.fixture
def sandbox(background: Background) -> Iterator[Sandbox]:
    """A service that is always well."""
    with background.sandbox() as running:
        yield running
