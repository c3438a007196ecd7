from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.program import ROOT
from tests.prometheus.server import Prometheus

DEPLOYED = ROOT / "deploy" / "prometheus"


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real one with the rules of ``deploy/``; it scrapes nobody before ``scrape`` says whom."""
    if not Prometheus.is_installed():
        pytest.skip("needs Debian's prometheus")
    rules = (DEPLOYED / "recording.yml", DEPLOYED / "alerts.yml")
    # As with a Pushgateway, whose own labels stay: it has no instance.
    with Prometheus(tmp_path_factory.mktemp("prometheus"), rules=rules, honor_labels=True) as running:
        yield running
