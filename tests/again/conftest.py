"""The program in this process, and a service that a first run has met on a bad day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batcher.sandbox import Sandbox
from tests.again.bad_day import bad_day
from tests.again.here import Here
from tests.e2e.servers import Background
from tests.places import Places


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    """Where servers run."""
    with Background() as running:
        yield running


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], places: Places
) -> Here:
    """The program, with either kind of ledger."""
    return Here(tmp_path, monkeypatch, capfdbinary, places)


@pytest.fixture
def folder(program: Here) -> Path:
    """Where the program runs."""
    return program.directory


@pytest.fixture
def service(program: Here, background: Background) -> Iterator[Sandbox]:
    """A service that a first run has met on a bad day; it is well now."""
    with background.sandbox() as running:
        bad_day(program, running)
        yield running


@pytest.fixture
def well(background: Background) -> Iterator[Sandbox]:
    """A service that is well, and has met nobody."""
    with background.sandbox() as running:
        yield running
