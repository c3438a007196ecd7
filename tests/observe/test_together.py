"""Timelines of shards that ran side by side, as one."""

from __future__ import annotations

import pytest

from batcher.core.verdict import Outcome, Verdict
from batcher.observe.account import add_tally
from batcher.observe.summary import Percentiles, Summary
from batcher.observe.tally import Tally
from batcher.observe.timeline import SLOTS, Mark, Timeline
from batcher.observe.together import Span, Together


def ran(begin: float, seconds: int, width: float = 1.0, **sums: float) -> Timeline:
    """A run from *begin* on, of so many seconds with these *sums* each."""
    timeline = Timeline()
    timeline.width = width
    for second in range(seconds):
        timeline.add(second + 0.5, begin + second + 0.5, {"seconds": 1.0, "samples": 1, **sums})
    return timeline


def span_of(timeline: Timeline) -> Span:
    return Span(timeline.slots[0].at, timeline.total("seconds"), timeline.width)


def together(**shards: list[Timeline]) -> Together:
    joint = Together(span_of(run) for runs in shards.values() for run in runs)
    for name, runs in shards.items():
        joint.add(name, runs)
    return joint


def column(timeline: Timeline, name: str) -> list[float]:
    return [slot.sums.get(name, 0) for slot in timeline.slots]


def test_counts_and_states_are_added_and_time_is_not() -> None:
    """Two shards at 10 and 20 a second are 30 a second; 4 and 8 in flight are 12; one that began later adds then."""
    joint = together(a=[ran(1000.0, 6, accepted=10, in_flight=4)], b=[ran(1002.2, 2, accepted=20, in_flight=8)])
    timeline = joint.timeline()
    assert joint.seconds == 6
    assert column(timeline, "seconds") == column(timeline, "samples") == [1] * 6
    assert column(timeline, "accepted") == [10, 10, 30, 30, 10, 10]
    assert column(timeline, "in_flight") == [4, 4, 12, 12, 4, 4]
    assert [slot.at for slot in timeline.slots] == [1000.0 + second for second in range(6)]


def test_a_shard_that_was_looked_at_more_often_counts_no_more() -> None:
    """Eight in flight are eight, whether that was seen once in the second or twice."""
    often = ran(1000.0, 2, in_flight=8)
    for slot in often.slots:
        slot.add({"samples": 1, "in_flight": 8})
    timeline = together(a=[often], b=[ran(1000.0, 2, in_flight=4)]).timeline()
    seen, samples = column(timeline, "in_flight"), column(timeline, "samples")
    assert [states / count for states, count in zip(seen, samples, strict=True)] == [12, 12]


def test_time_in_which_no_shard_ran_is_left_out() -> None:
    """A second run hours later follows at once, and the labels say when it was."""
    joint = together(a=[ran(1000.0, 2, x=1), ran(9000.0, 2, x=3)], b=[ran(1001.0, 2, x=5)])
    timeline = joint.timeline()
    assert joint.seconds == 5
    assert column(timeline, "x") == [1, 6, 5, 3, 3]
    assert [slot.at for slot in timeline.slots] == [1000, 1001, 1002, 9000, 9001]


def test_slots_of_different_widths() -> None:
    """The coarsest counts, and nothing is lost; seconds are still those of the clock."""
    coarse = ran(1000.0, 16, width=4.0, x=1)
    timeline = together(a=[ran(1000.0, 16, x=1)], b=[coarse]).timeline()
    assert timeline.width == 4
    assert column(timeline, "x") == [8] * 4
    assert column(timeline, "seconds") == [4] * 4


def test_many_shards_one_after_another_have_room() -> None:
    """Where all of them take longer than there are slots, these become wider."""
    runs = [ran(1000.0 + 400 * number, 400, x=1) for number in range(4)]
    timeline = together(**{f"shard{number}": [run] for number, run in enumerate(runs)}).timeline()
    assert timeline.width == 4
    assert len(timeline.slots) == 400 <= SLOTS
    assert timeline.total("x") == 1600


def test_marks_stand_in_the_order_of_time_and_name_their_shard() -> None:
    """Each at its place on the common axis, whichever shard was added first."""
    first, second = ran(1000.0, 4), ran(1001.0, 4)
    first.mark(Mark(4.0, 1004.0, "end", "exit 0"))
    second.mark(Mark(1.5, 1002.5, "paused", "throttled: 503"))
    marks = together(**{"1/2": [second], "0/2": [first]}).timeline().marks
    assert [(mark.elapsed, mark.kind, mark.text) for mark in marks] == [
        (0.0, "run", "run 1 began (shard 0/2)"),
        (1.0, "run", "run 1 began (shard 1/2)"),
        (2.5, "paused", "throttled: 503 (shard 1/2)"),
        (4.0, "end", "exit 0 (shard 0/2)"),
    ]


def test_nothing_is_nothing() -> None:
    """Ledgers whose runs have left no account."""
    joint = together(a=[], b=[])
    assert (joint.seconds, joint.timeline().slots) == (0, [])


def test_percentiles_are_of_all_durations() -> None:
    """Of a shard with a hundred quick requests and one with ten slow ones p50 is quick and p95 is slow."""
    quick, slow, total = (Tally(lambda: 0.0) for _ in range(3))
    for tally, count, seconds in ((quick, 100, 0.01), (slow, 10, 1.0)):
        for _ in range(count):
            tally.attempt_seconds[Verdict.ACCEPTED].observe(seconds)
            tally.record_seconds[Outcome.DELIVERED].observe(2 * seconds)
    quick.slots, quick.slot_seconds = 4, lambda: {"server": 1.0, "input": 1.0}
    slow.slots, slow.slot_seconds = 4, lambda: {"server": 100.0, "input": 1.0}
    add_tally(total, quick)
    add_tally(total, slow)
    found = Percentiles.of_attempts(total)
    assert found.p50 == pytest.approx(0.01, rel=0.01)
    assert found.p95 == found.p99 == pytest.approx(1.0, rel=0.01)
    assert found.largest == 1.0
    summary = Summary.of(total)
    assert (summary.outcomes["delivered"], summary.slots) == (110, 8)
    assert summary.slot_seconds == {"server": 101.0, "input": 2.0}
    assert summary.record_seconds.p50 == pytest.approx(0.02, rel=0.01)
