"""Both kinds of ledger: what is promised of one is tested on each, but for what only a file can suffer."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.places import Files, Places, Rows
from tests.postgresql.server import PASSWORD, Server, needed, serving

KINDS = ("sqlite", "postgresql")
NAMES = ("ledger", "second", "kept")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, with room for the ledgers of all tests."""
    with serving(needed()) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of ledger."""
    return str(request.param)


@pytest.fixture
def new_ledger(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Names a place where a ledger can be made, another one each time: a path, or an address."""
    if kind == "sqlite":
        return lambda: str(tmp_path / f"{secrets.token_hex(4)}.ledger")
    server: Server = request.getfixturevalue("postgresql")
    return server.new_ledger


@pytest.fixture
def ledger(new_ledger: Callable[[], str]) -> str:
    """A place where a ledger can be made."""
    return new_ledger()


@pytest.fixture
def places(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Where the program's ledgers are that a test calls ``ledger``, ``second`` or ``kept``."""
    if kind == "sqlite":
        return Files()
    server: Server = request.getfixturevalue("postgresql")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return Rows(server, NAMES)
