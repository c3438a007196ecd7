"""What all tests share: no example of theirs has to be quick; and both kinds of ledger.

What is promised of one kind of ledger is tested on each, but for what only a file can suffer.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.places import Files, Places, Rows
from tests.postgresql.server import PASSWORD, Server, needed, serving

KINDS = ("sqlite", "postgresql")
NAMES = ("ledger", "second", "kept")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts so what runs in its background, and every program of the tests would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes tells how busy the machine is; and chance belongs to those who ask for it.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=os.environ.get("HYPOTHESIS_PROFILE") != "deep",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Whoever names a seed wants its examples, and not always the same."""
    if config.getoption("hypothesis_seed", None) is not None:
        settings.register_profile("seeded", settings.get_profile("steady"), derandomize=False)
        settings.load_profile("seeded")


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
