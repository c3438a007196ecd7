"""Lanes: records that share a key, one after another."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.flow.job import Job
from batcher.flow.order import Lanes
from batcher.flow.source import Line
from tests.flow.runs import make_job

keys = st.sampled_from([None, "a", "b", "c"])


@settings(deadline=None, max_examples=150)
@given(st.lists(keys, max_size=40), st.randoms(use_true_random=False))
def test_each_key_goes_in_input_order_one_at_a_time_and_holds_up_no_other(
    given_keys: list[str | None], chance: random.Random
) -> None:
    """Whatever ends when: at every moment the first unfinished record of each key is open, and every keyless one."""
    lanes = Lanes()
    jobs = [make_job(ordinal, key=key) for ordinal, key in enumerate(given_keys)]
    unread, unfinished, open_now = list(jobs), [], set[Job]()
    while unread or open_now:
        if unread and (not open_now or chance.random() < 0.6):
            job = unread.pop(0)
            unfinished.append(job)
            if lanes.enter(job):
                open_now.add(job)
        else:
            job = sorted(open_now, key=lambda job: job.ordinal)[chance.randrange(len(open_now))]
            open_now.remove(job)
            unfinished.remove(job)
            if (following := lanes.leave(job)) is not None:
                open_now.add(following)
        first_of_key = {job.record.key: job for job in reversed(unfinished)}
        keyless = {job for job in unfinished if job.record.key == (None,)}
        expected = keyless | {job for key, job in first_of_key.items() if key != (None,)}
        assert open_now == expected
        assert len(lanes) == len(unfinished) - len(expected)
    assert len(lanes) == 0
    assert not lanes._waiting


def test_a_key_of_several_fields_counts_as_one_value() -> None:
    """Records that share only one of the fields do not wait; with no value in any field they never do."""
    lanes = Lanes()

    def enter(*key: str | int | None) -> bool:
        job = make_job(1)
        job.record = type(job.record)(b"", key, safe=True)
        return lanes.enter(job)

    assert enter("a", 1)
    assert enter("a", 2)
    assert enter("a", None)
    assert not enter("a", 1)
    assert not enter("a", None)
    assert enter(None, None)
    assert enter(None, None)


def test_clearing_gives_what_waits_once_and_leaves_what_is_open() -> None:
    """In order of their keys' lanes; what was open still ends."""
    lanes = Lanes()
    jobs = [make_job(ordinal, key=key) for ordinal, key in enumerate("aabba")]
    assert [lanes.enter(job) for job in jobs] == [True, False, True, False, False]
    assert [job.ordinal for job in lanes.clear()] == [1, 4, 3]
    assert lanes.clear() == []
    assert lanes.leave(jobs[0]) is None
    assert lanes.enter(make_job(9, key="a"))
    assert not lanes.enter(make_job(10, key="b"))


def test_the_longest_lane_is_remembered() -> None:
    """A key that holds up a run can be named when it is over."""
    lanes = Lanes()
    assert lanes.longest[1] == 0
    jobs = [make_job(ordinal, key=key) for ordinal, key in enumerate(["a", "b", "b", "b", "a", "a"])]
    for job in jobs:
        lanes.enter(job)
    assert repr(lanes.longest) == "(('b',), 2)"
    lanes.leave(jobs[1])
    lanes.enter(make_job(6, key="a"))
    assert repr(lanes.longest) == "(('a',), 3)"


def line_at(number: int, name: str | None = None) -> Line:
    return Line(b"{}", number, "0" * 16, 0, name, 2, None)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(keys, st.booleans()), max_size=40), st.randoms(use_true_random=False))
def test_in_a_strict_order_nothing_behind_a_record_that_was_not_delivered_may_go(
    given_keys: list[tuple[str | None, bool]], chance: random.Random
) -> None:
    """Whenever it ended, and in whatever order that became known: those before it may go, those without a key too."""
    lanes = Lanes(strict=True)
    jobs = [make_job(ordinal, key=key) for ordinal, (key, _) in enumerate(given_keys)]
    failed = [job for job, (_, delivered) in zip(jobs, given_keys, strict=True) if not delivered]
    chance.shuffle(failed)
    first: dict[str | int | None, int] = {}
    for count, job in enumerate(failed):
        lanes.block(job.record.key, job.ordinal, job.line)
        (key,) = job.record.key
        first[key] = min(first.get(key, job.ordinal), job.ordinal)
        assert len(lanes._blocks) == len({job.record.key for job in failed[: count + 1]} - {(None,)})
    for job in jobs:
        (key,) = job.record.key
        blocked = key is not None and job.ordinal > first.get(key, job.ordinal)
        assert (lanes.blocker(job) is not None) == blocked


def test_without_strict_order_nothing_blocks() -> None:
    """Nor is anything kept of what was not delivered."""
    lanes = Lanes()
    lanes.block(("a",), 1, line_at(1))
    assert lanes.blocker(make_job(2, key="a")) is None
    assert not lanes._blocks


def test_what_blocks_is_named_by_its_line_and_input() -> None:
    """The first one of the key, though a later one was known before; the input where there are several."""
    lanes = Lanes(strict=True)
    lanes.block(("a",), 5, line_at(5))
    lanes.block(("a",), 3, line_at(3))
    lanes.block(("b",), 4, line_at(1, "b.ndjson"))
    assert str(lanes.blocker(make_job(6, key="a"))).startswith("line 3 has the same key and was not delivered")
    assert str(lanes.blocker(make_job(6, key="b"))).startswith("line 1 of b.ndjson ")
