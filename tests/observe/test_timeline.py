from __future__ import annotations

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.latency import Latency
from batcher.observe.timeline import MARKS, ROW_FIRST, ROW_GROWTH, ROWS, SLOTS, Mark, Timeline, rows_of

ADDITIONS = st.lists(
    st.tuples(st.floats(0, 1e5), st.sampled_from(("seconds", "outcome.delivered")), st.integers(1, 9)), max_size=12
)
WALL = 1_700_000_000.0


def filled(additions: list[tuple[float, str, int]], most: int = SLOTS) -> Timeline:
    timeline = Timeline(most)
    for elapsed, column, value in sorted(additions):
        timeline.add(elapsed, WALL + elapsed, {column: value})
    return timeline


@given(ADDITIONS, st.integers(1, 40))
def test_nothing_is_lost_and_memory_is_bounded(additions: list[tuple[float, str, int]], most: int) -> None:
    """However long a run lasts, there are no more slots than were asked for, and their sums are what was added."""
    timeline = filled(additions, most)
    assert len(timeline.slots) <= most
    for column in ("seconds", "outcome.delivered"):
        assert timeline.total(column) == sum(value for _, name, value in additions if name == column)


def test_slots_double_when_they_are_used_up() -> None:
    """Four slots of a second hold four seconds; the fifth makes two-second slots of them, each with its beginning."""
    timeline = Timeline(4)
    for second in range(4):
        timeline.add(second + 0.5, WALL + second + 0.5, {"outcome.delivered": 10 + second})
    assert timeline.width == 1
    assert [slot.sums["outcome.delivered"] for slot in timeline.slots] == [10, 11, 12, 13]
    timeline.add(4.5, WALL + 4.5, {"outcome.delivered": 14})
    assert timeline.width == 2
    assert [slot.sums["outcome.delivered"] for slot in timeline.slots] == [21, 25, 14]
    assert [slot.at for slot in timeline.slots] == [WALL, WALL + 2, WALL + 4]


@given(ADDITIONS)
def test_it_survives_being_written_down(additions: list[tuple[float, str, int]]) -> None:
    """As JSON and back it is the same."""
    timeline = filled(additions)
    timeline.mark(Mark(1.5, WALL + 1.5, "paused", "outage: connection refused"))
    told = orjson.loads(orjson.dumps(timeline.to_json()))
    again = Timeline.from_json(told)
    assert again.to_json() == told
    assert (again.width, len(again.slots), again.marks) == (timeline.width, len(timeline.slots), timeline.marks)


def test_runs_are_joined_without_the_time_between_them() -> None:
    """Slots of a later run follow those of the first at once, with their own wall times; the wider width wins."""
    first, second = Timeline(), Timeline(2)
    first.add(0.5, WALL + 0.5, {"outcome.delivered": 1})
    first.add(2.5, WALL + 2.5, {"outcome.delivered": 2})
    first.mark(Mark(2.9, WALL + 2.9, "end", "exit 6"))
    day = WALL + 86400
    for at in (0.5, 3.5):
        second.add(at, day + at, {"outcome.delivered": 5})
    second.mark(Mark(1.0, day + 1.0, "login", "success"))
    joined = Timeline.join([first, second])
    assert joined.width == 2
    assert [slot.sums.get("outcome.delivered", 0) for slot in joined.slots] == [1, 2, 5, 5]
    assert [slot.at for slot in joined.slots] == [WALL, WALL + 2, day, day + 2]
    assert joined.marks == [
        (0, WALL, "run", "run 1 began"), (2.9, WALL + 2.9, "end", "exit 6"),
        (4, day, "run", "run 2 began"), (5, day + 1, "login", "success"),
    ]  # fmt: skip


@given(st.lists(ADDITIONS, max_size=4))
def test_joining_loses_nothing(runs: list[list[tuple[float, str, int]]]) -> None:
    """The sums of joined runs are the sums of all of them."""
    joined = Timeline.join(filled(additions) for additions in runs)
    assert len(joined.slots) <= SLOTS
    added = sum(value for _, name, value in itertools.chain(*runs) if name == "outcome.delivered")
    assert joined.total("outcome.delivered") == added


def test_the_first_marks_and_the_latest_stay() -> None:
    """Of more marks than there is room for, those in the middle go, and are counted."""
    timeline = Timeline()
    for number in range(MARKS + 50):
        timeline.mark(Mark(number, WALL + number, "paused", ""))
    elapsed = [mark.elapsed for mark in timeline.marks]
    assert elapsed == [*range(MARKS // 2), *range(MARKS // 2 + 50, MARKS + 50)]
    assert timeline.marks_left_out == 50


@pytest.mark.parametrize("seconds", [0.0001, 0.001, 0.0019, 0.0125, 0.98, 7.4, 119.0, 299.0, 4000.0])
def test_rows_hold_what_they_say(seconds: float) -> None:
    """A duration is counted once, in the row whose bounds enclose it to 2%, or in the last one of all."""
    latency = Latency()
    latency.observe(seconds)
    rows = rows_of(latency.counts)
    assert (len(rows), sum(rows)) == (ROWS, 1)
    row = rows.index(1)
    assert row == 0 or seconds > ROW_FIRST * ROW_GROWTH ** (row - 1) / 1.02
    assert row == ROWS - 1 or seconds <= ROW_FIRST * ROW_GROWTH**row * 1.001
