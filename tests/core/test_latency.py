from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.latency import BOUNDS, EXPOSED_BOUNDS, Latency

durations = st.lists(st.floats(min_value=1e-4, max_value=5000.0), min_size=1, max_size=50)


def latency_of(values: list[float]) -> Latency:
    latency = Latency()
    for value in values:
        latency.observe(value)
    return latency


def test_nothing_observed_has_no_percentile() -> None:
    """Without a duration there is no percentile, and every exposed count is 0."""
    latency = Latency()
    assert latency.percentile(0.5) is None
    assert latency.exposed() == [0] * len(EXPOSED_BOUNDS)


def test_exposed_counts_are_exact_at_their_bounds() -> None:
    """A duration equal to an exposed bound counts as at most that bound, the next float above it does not."""
    for index, bound in enumerate(EXPOSED_BOUNDS):
        at, above = latency_of([bound]).exposed(), latency_of([math.nextafter(bound, math.inf)]).exposed()
        assert at == [0] * index + [1] * (len(EXPOSED_BOUNDS) - index)
        assert above == [0] * (index + 1) + [1] * (len(EXPOSED_BOUNDS) - index - 1)


@given(durations)
def test_exposed_counts_equal_counting(values: list[float]) -> None:
    """The cumulative counts are those that one gets by comparing each duration with each bound."""
    latency = latency_of(values)
    assert latency.exposed() == [sum(value <= bound for value in values) for bound in EXPOSED_BOUNDS]
    assert latency.total == len(values)
    assert latency.sum == pytest.approx(math.fsum(values))
    assert latency.largest == max(values)


@given(durations, st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_percentiles_are_good_to_one_per_cent(values: list[float], share: float) -> None:
    """A percentile is within 1% of the duration at that rank."""
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert latency_of(values).percentile(share) == pytest.approx(exact, rel=0.0101)


def test_a_percentile_never_exceeds_the_longest() -> None:
    """Of equal durations each percentile is that duration at most, from 0.1 ms to beyond every bound."""
    for value in (1e-4, 0.0123, 7200.0):
        percentile = latency_of([value] * 3).percentile(0.99)
        assert percentile is not None
        assert percentile <= value


def test_durations_beyond_every_bound_are_kept() -> None:
    """Hours count in the last bucket and show as the longest."""
    latency = latency_of([0.01, 2 * BOUNDS[-1]])
    assert latency.counts[-1] == 1
    assert latency.percentile(1.0) == 2 * BOUNDS[-1]
    assert latency.exposed()[-1] == 1


@given(durations, durations)
def test_adding_equals_observing_both(mine: list[float], theirs: list[float]) -> None:
    """Two histograms added are the histogram of all durations; the one added is left as it was."""
    left, right, both = latency_of(mine), latency_of(theirs), latency_of(mine + theirs)
    left.add(right)
    assert left.counts == both.counts
    assert (left.total, left.largest) == (both.total, both.largest)
    assert left.sum == pytest.approx(both.sum)
    assert right.counts == latency_of(theirs).counts
