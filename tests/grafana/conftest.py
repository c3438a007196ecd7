from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.grafana.make import FILE
from tests.grafana.fleet import Fleet, fleet
from tests.grafana.grafana import Grafana
from tests.prometheus.server import Prometheus


@pytest.fixture
def dashboard() -> dict[str, Any]:
    """The dashboard that Grafana gets; a copy for each test."""
    read: dict[str, Any] = json.loads(FILE.read_text())
    return read


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Fleet]]:
    """Two runs, and a real Prometheus that has scraped them."""
    if not Prometheus.is_installed():
        pytest.skip("needs Debian's prometheus")
    directory = tmp_path_factory.mktemp("fleet")
    stored = tmp_path_factory.mktemp("prometheus")
    with Prometheus(stored) as prometheus, fleet(directory, prometheus) as running:
        yield prometheus, running


@pytest.fixture
def grafana(runs: tuple[Prometheus, Fleet], dashboard: dict[str, Any]) -> Grafana:
    """Shows the dashboard as it is when it is opened, for the time of the two runs."""
    prometheus, running = runs
    return Grafana(prometheus, dashboard, running.since, running.until)
