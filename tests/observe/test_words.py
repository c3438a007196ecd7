from __future__ import annotations

import pytest

from batcher.observe.words import counts, duration, number, percent, plural, span


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3, "3"), (1.25, "1.2"), (12.6, "13"), (1234567, "1,234,567"), (1000.4, "1,000")]
)
def test_numbers_have_thousands_separators(value: float, text: str) -> None:
    """Large numbers are grouped; only those under ten keep a fraction."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0.0, "0.00 ms"), (0.000423, "0.42 ms"), (0.01234, "12.3 ms"), (0.1, "100 ms"),
        (0.99949, "999 ms"), (0.9996, "1.00 s"), (1.234, "1.23 s"), (9.996, "10.0 s"), (110.4, "110 s"),
    ],
)  # fmt: skip
def test_durations_have_three_digits(seconds: float | None, text: str) -> None:
    """A latency reads with three digits in its unit, without jumps at the units' ends."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (5.9, "0:05"), (754, "12:34"), (3599.9, "59:59"), (3723, "1:02:03"), (183845, "2d 03:04:05")],
)
def test_spans_read_as_on_a_clock(seconds: float, text: str) -> None:
    """Minutes, hours and days appear when they are needed."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "-"), (0, 5, "0.00%"), (1, 3, "33.33%"), (5, 5, "100.00%"),
        (1, 10_000_000, "<0.01%"), (9_999_999, 10_000_000, "99.99%"),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    """One of ten million lost is not 100% delivered, nor 0% lost."""
    assert percent(part, whole) == text


def test_counts_leave_out_what_did_not_happen() -> None:
    """Only what is not 0 is named, in words; numbers agree with their noun."""
    assert counts({"in_doubt": 1200, "unsent": 0, "rejected": 1}) == "in doubt 1,200, rejected 1"
    assert counts({"unsent": 0}) == ""
    assert plural(1, "record") == "1 record"
    assert plural(2000, "record") == "2,000 records"
    assert plural(2, "answer carries", "answers carry") == "2 answers carry"
