from __future__ import annotations

import pytest

from batcher.errors import SettingsError
from batcher.options.kinds import RATE
from batcher.settings import OPTIONS, Settings
from batcher.values import Shard


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("50/s", 50.0, "50/s"),
        (" 0.5 / S ", 0.5, "0.5/s"),
        ("300/m", 5.0, "5/s"),
        ("100/m", 100 / 60, "100/m"),
        ("1/m", 1 / 60, "1/m"),
        ("1000/h", 1000 / 3600, "1000/h"),
        (".5/h", 0.5 / 3600, "0.5/h"),
        ("1000000/s", 1e6, "1000000/s"),
    ],
)
def test_a_rate_is_a_number_in_a_unit_of_time(text: str, rate: float, shown: str) -> None:
    """Requests a second, and shown again in the unit that makes it plain."""
    assert RATE.read(text, "--rate") == rate
    assert RATE.show(rate) == shown
    assert RATE.read(shown, "--rate") == rate


@pytest.mark.parametrize("text", ["50", "0/s", "-1/s", "5/d", "1e3/s", "/s", "5/", "2000000/s", "5 per s", "inf/s"])
def test_what_is_no_rate_is_refused_with_what_would_be_right(text: str) -> None:
    """A number without a unit of time leaves open what is meant."""
    with pytest.raises(SettingsError, match=r"--rate: .* is not a number of requests in a second, .* such as 50/s"):
        RATE.read(text, "--rate")


def test_any_rate_in_code_is_taken() -> None:
    """One that no unit makes plain is shown with all its digits."""
    assert Settings(rate=1 / 7).rate == 1 / 7
    assert RATE.read(str(RATE.show(1 / 7)), "--rate") == pytest.approx(1 / 7, rel=1e-12)
    assert Settings().rate is None
    assert OPTIONS["rate"].variable == "VEETRO_BATCH_RATE"


def test_a_fleets_rate_needs_a_shard() -> None:
    """Without --shard nobody knows among how many it is divided."""
    with pytest.raises(SettingsError, match="--fleet-rate: without --shard"):
        Settings(fleet_rate=50.0)
    assert Settings(fleet_rate=50.0, shard=Shard(1, 4)).fleet_rate == 50.0
