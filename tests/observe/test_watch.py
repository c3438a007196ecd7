from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from batcher.core.latency import Latency
from batcher.observe.lines import Lines
from batcher.observe.summary import Summary
from batcher.observe.tally import Tally
from batcher.settings import OPTIONS, Settings
from batcher.values import Secret
from batcher.watch import Watch, told_settings

HUSH = "hush-7251"


def test_settings_are_told_without_secrets() -> None:
    """Every setting is told but secrets, also those that hide in an address."""
    told = told_settings(
        Settings(
            inputs=("a.ndjson", "b.ndjson"),
            endpoint=f"http://127.0.0.1:9/xml?key={HUSH}",
            email="me@acme.example",
            password=Secret(HUSH),
            proxy=f"http://me:{HUSH}@127.0.0.1:3128",
        )
    )
    assert HUSH not in str(told)
    assert told["INPUT"] == "a.ndjson, b.ndjson"
    assert told["endpoint"] == "http://127.0.0.1:9/xml"
    assert told["proxy"] == "http://***@127.0.0.1:3128"
    assert (told["order-strict"], told["default"], told["timeout"]) == ("off", "none", "120")
    assert told.keys() == {"INPUT", *(name for name, option in OPTIONS.items() if not option.secret)}
    assert "INPUT" not in told_settings(Settings())


def test_a_session_key_is_a_secret_too() -> None:
    """The key itself is not among what is told."""
    told = told_settings(Settings(endpoint="https://acme.example/xml", session=Secret(HUSH)))
    assert "session" not in told
    assert HUSH not in str(told)


async def test_nothing_is_served_or_waited_for_unasked(tally: Tally, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a port no line tells of one, and lingering ends at once; the end is counted all the same."""
    watch = Watch(Settings(), tally, Lines(sys.stderr), lambda: Summary.of(tally))
    async with watch.watching():
        summary = await watch.end(Summary.of(tally, exit_code=3))
        await watch.linger()
    assert summary.exit_code == 3
    assert tally.completion == (3, tally.started_wall)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("told", ["metrics_port", "metrics_file", "pushgateway"])
async def test_lag_is_in_the_numbers_however_they_are_told(tally: Tally, tmp_path: Path, told: str) -> None:
    """Final numbers that are left in a file or pushed have the event loop's lag too, not a histogram of nothing."""
    observed = asyncio.Event()

    class Watched(Latency):
        def observe(self, seconds: float) -> None:
            super().observe(seconds)
            observed.set()

    tally.loop_lag = Watched()
    settings = {
        "metrics_port": Settings(metrics_port=0),
        "metrics_file": Settings(metrics_file=str(tmp_path / "numbers")),
        "pushgateway": Settings(pushgateway="http://127.0.0.1:9"),
    }[told]
    async with Watch(settings, tally, Lines(sys.stderr), lambda: Summary.of(tally)).watching():
        await observed.wait()
    assert tally.loop_lag.total >= 1
