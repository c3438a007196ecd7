from __future__ import annotations

from collections import deque
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.limit import Limit
from batcher.core.verdict import Sample
from tests.core.samples import quickly


class World:
    """A service of so many workers, 0.1 s each, and a client that keeps as many requests in flight as it may.

    Args:
        limit: the limit.
        wanted: requests that the client has at a time, at most.
        workers: requests that the service works on at a time; the others queue.
        cap: requests inside at a time; those above are lost.
        lost: what the limit hears of those.
    """

    def __init__(
        self,
        limit: Limit,
        *,
        wanted: int = 1000,
        workers: int = 1000,
        cap: int = 1000,
        lost: Sample = Sample.TURNED_AWAY,
    ) -> None:
        self.limit = limit
        self.wanted = wanted
        self.workers = workers
        self.cap = cap
        self.lost = lost
        self.losses = 0
        self.now = 0.0
        self._flying: deque[tuple[float, Sample]] = deque()  # when each was sent, and what its answer will tell
        self._send()

    def _send(self) -> None:
        while len(self._flying) < min(self.limit.value, self.wanted):
            taken = len(self._flying) < self.cap
            self._flying.append((self.now, Sample.SUCCESS if taken else self.lost))
            self.losses += not taken

    def answer(self, count: int) -> int:
        """So many are answered, one after another, each making room for others; the limit after that."""
        for _ in range(count):
            sent, sample = self._flying[0]
            self.now = max(self.now + 0.1 / self.workers, sent + 0.1)
            self.limit.hear(sample, self.now - sent, len(self._flying), self.now)
            self._flying.popleft()
            self._send()
        return self.limit.value

    def limits(self, count: int) -> list[int]:
        """The limits that it takes while so many are answered."""
        values = [self.limit.value]
        for _ in range(count):
            if self.answer(1) != values[-1]:
                values.append(self.limit.value)
        return values


def test_it_doubles_up_to_its_most() -> None:
    """A service that takes everything gets all connections, after two rounds for each doubling."""
    world = World(Limit(64))
    assert world.limits(300) == [2, 4, 8, 16, 32, 64]


def test_it_never_begins_above_its_most() -> None:
    """With one connection one request is in flight."""
    world = World(Limit(1))
    assert world.limits(100) == [1]


def test_a_raise_that_does_not_raise_the_goodput_is_taken_back() -> None:
    """Behind a queue, what was raised brings longer round trips and nothing else."""
    world = World(Limit(64), workers=16)
    assert world.limits(2000)[:6] == [2, 4, 8, 16, 32, 16]
    assert 16 <= world.limit.value <= 24


def test_of_a_raise_that_brings_a_part_that_part_is_kept() -> None:
    """From 16 to 32 with room for 20: a quarter more is served, so it goes on with a quarter more."""
    world = World(Limit(64), workers=20)
    assert world.limits(500)[4:7] == [32, 20, 26]


def heavily(limit: Limit, now: float) -> int:
    """Six losses at once, of requests sent 0.1 s ago; the limit after that."""
    for _ in range(6):
        limit.hear(Sample.DROPPED, 0.1, limit.value, now)
    return limit.value


def test_losses_among_no_successes_cut_it_and_the_rest_of_their_round_trip_does_not() -> None:
    """What was in flight at the cut tells nothing new; what was sent after it does."""
    limit = Limit(64, found=40)
    limit.hear(Sample.SUCCESS, 0.1, 20, 0.9)
    assert heavily(limit, 1.0) == 16
    assert heavily(limit, 1.05) == 16
    limit.hear(Sample.SUCCESS, 0.1, 7, 1.05)
    assert heavily(limit, 1.2) == 12


def test_it_halves_while_nothing_comes_through() -> None:
    """A service that answers nothing is not asked twenty times more."""
    limit = Limit(64, found=128)
    values = []
    for second in range(1, 9):
        limit.hear(Sample.DROPPED, 0.5, 1, float(second))
        limit.hear(Sample.DROPPED, 0.5, 1, float(second))
        limit.hear(Sample.DROPPED, 0.5, 1, float(second))
        values.append(limit.value)
    assert values == [32, 16, 8, 4, 2, 1, 1, 1]


def one_in(limit: Limit, answers: int, count: int, now: float) -> float:
    """So many times a loss after so many *answers*, 0.1 s each; the time after that."""
    for _ in range(count):
        for number in range(answers):
            now += 0.1 / limit.value
            limit.hear(Sample.SUCCESS if number else Sample.DROPPED, 0.05, 1, now)
    return now


def test_losses_that_a_cut_does_not_end_are_not_the_loads() -> None:
    """One in forty: five are let pass, the sixth is answered with a fifth less, and the seventh takes that back."""
    limit = Limit(64, found=128)
    limit.hear(Sample.SUCCESS, 0.1, 1, 0.0)
    now = one_in(limit, 40, 5, 0.0)
    assert limit.value == 64
    now = one_in(limit, 40, 1, now)
    assert limit.value == 51
    one_in(limit, 40, 2, now)
    assert limit.value == 64


def test_losses_that_a_cut_ends_are_the_loads() -> None:
    """After four times as many answers as a loss took, without any, the limit stays below for some rounds."""
    limit = Limit(64, found=128)
    limit.hear(Sample.SUCCESS, 0.1, 1, 0.0)
    now = one_in(limit, 40, 6, 0.0)
    for _ in range(400):
        now += 0.1 / limit.value
        limit.hear(Sample.SUCCESS, 0.05, limit.value, now)
        assert limit.value < 64


def test_very_rare_losses_are_not_even_asked_about() -> None:
    """One in a thousand may be the load's or not: less in flight would cost more."""
    limit = Limit(64, found=128)
    limit.hear(Sample.SUCCESS, 0.1, 1, 0.0)
    one_in(limit, 1000, 30, 0.0)
    assert limit.value == 64


@pytest.mark.parametrize("losses", range(1, 12))
def test_it_comes_back_from_any_number_of_losses(losses: int) -> None:
    """However far it was cut, a service that answers again gets all connections again."""
    world = World(Limit(64))
    for _ in range(losses):
        world.now += 1.0
        world.limit.hear(Sample.DROPPED, 0.1, world.limit.value, world.now)
    assert world.limit.value == 1
    assert max(world.limits(4000)) == 64


def test_it_settles_just_below_a_hard_cap() -> None:
    """A service that drops all over 20 at a time is kept busy, apart from looks, and hardly ever loses one."""
    world = World(Limit(64), cap=20)
    world.answer(1000)
    values = [world.answer(1) for _ in range(2000)]
    assert sum(values) / len(values) > 18
    assert max(values) <= 21


def test_below_a_ceiling_it_gives_up_a_fifth_at_a_look_and_wins_it_back_by_ones() -> None:
    """And one more, at which too much is lost: so all who share a cap become equal."""
    world = World(Limit(64), cap=20)
    world.answer(1000)
    assert world.limits(3000)[:15] == [20, 16, 17, 18, 19, 20, 21, 20, 16, 17, 18, 19, 20, 21, 20]


def test_a_ceiling_whose_losses_are_dear_is_seldom_tried_again() -> None:
    """What was turned away is lost at each look; what may have been applied hardly ever, after a while."""
    losses = []
    for lost in (Sample.TURNED_AWAY, Sample.DROPPED):
        world = World(Limit(64), cap=20, lost=lost)
        world.answer(10_000)
        before = world.losses
        world.answer(20_000)
        losses.append(world.losses - before)
    assert losses[1] < losses[0] / 5
    assert losses[0] < 20_000 * 0.05


@pytest.mark.parametrize(("lost", "answers"), [(Sample.TURNED_AWAY, 3_000), (Sample.DROPPED, 20_000)])
def test_a_cap_that_has_risen_is_noticed(lost: Sample, answers: int) -> None:
    """At the next look, or where losses are dear step by step."""
    world = World(Limit(64), cap=20, lost=lost)
    world.answer(1000)
    world.cap = 1000
    assert max(world.limits(answers)) == 64


def test_it_grows_only_while_it_holds_sending_back() -> None:
    """With less to send than it allows, success says nothing about more."""
    world = World(Limit(64), wanted=7)
    assert max(world.limits(1000)) == 8
    world.wanted = 20
    assert max(world.limits(1000)) <= 32
    world.wanted = 1000
    assert max(world.limits(2000)) == 64


class Steady:
    """Answers that all take the same, one after another."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.now = 0.0

    def answer(self, count: int, seconds: float) -> list[int]:
        """The limit after each of so many answers."""
        values = []
        for _ in range(count):
            self.now += seconds / self.limit.value
            self.limit.hear(Sample.SUCCESS, seconds, self.limit.value, self.now)
            values.append(self.limit.value)
        return values


def test_a_service_that_has_become_slower_is_not_taken_for_a_queue_for_long() -> None:
    """The round trip has trebled: less is sent until the next look, and as much as before after it."""
    steady = Steady(Limit(64, found=128))
    assert max(steady.answer(2000, 0.1)) == 64
    slow = steady.answer(8000, 0.3)
    assert min(slow[:2000]) < 32
    assert sum(slow[-4000:]) / 4000 > 60


def test_all_look_at_the_same_instants_whenever_they_began() -> None:
    """A round trip before every fourth second, for those of 0.1 s; the clock that all share is what counts."""
    looks = []
    for start, ahead in ((0.0, 0.0), (1.3, 0.0), (101.3, -100.0)):
        limit = Limit(8, found=16, ahead=ahead)
        steady = Steady(limit)
        steady.now = start
        steady.answer(100, 0.1)
        while limit.value == 8:
            steady.answer(1, 0.1)
        looks.append(round((steady.now + ahead + 0.1) % 4.0, 1))
    assert max(looks) - min(looks) <= 0.2
    assert max(looks) <= 0.3


def test_no_more_than_its_room_may_queue() -> None:
    """Behind three workers of others' and its own requests it goes below what has half of it waiting."""
    limit = Limit(64, found=72)
    steady = Steady(limit)
    steady.answer(200, 0.1)
    for _ in range(2000):
        steady.answer(1, 0.2)
        if limit.value <= 7:
            break
    assert limit.value <= 7, "half of the round trip is queueing, and at most a third of what is in flight may queue"


def test_faults_teach_nothing() -> None:
    """What is about the record's content neither grows nor cuts it."""
    limit = Limit(64, found=16)
    for _ in range(100):
        limit.hear(Sample.IGNORE, 0.1, 8, 1.0)
    assert limit.value == 8


def test_a_fixed_limit_stays() -> None:
    """The operator's own number is neither grown nor cut."""
    world = World(Limit(64, 20, 50))
    for _ in range(10):
        world.answer(20)
        world.limit.hear(Sample.DROPPED, 0.1, 20, world.now)
        assert world.limit.value == 20


@pytest.mark.parametrize(("found", "begins"), [(None, 2), (1, 1), (9, 4), (40, 20), (500, 64)])
def test_a_run_begins_at_half_of_what_was_found(found: int | None, begins: int) -> None:
    """The service may have changed since, and others may have come."""
    assert Limit(64, found=found).value == begins


@pytest.mark.parametrize("most", [1, 2, 3, 8, 64])
def test_it_bears_any_course_of_losses(most: int) -> None:
    """One in a few lost, then one in a few more: also around a limit of 1, where there is nothing less to ask with."""
    for course in product((2, 3, 7, 20, 1000), repeat=3):
        limit, now, number = Limit(most), 0.0, 0
        for every in course:
            for _ in range(300):
                now, number = now + 0.1 / limit.value, number + 1
                lost = number % every == 0
                limit.hear(Sample.DROPPED if lost else Sample.SUCCESS, 0.01 if lost else 0.1, limit.value, now)
                assert 1 <= limit.value <= most


@quickly
@given(
    most=st.integers(1, 100),
    heard=st.lists(
        st.tuples(st.sampled_from(Sample), st.floats(0, 200), st.integers(1, 100), st.floats(0, 1e6)), max_size=300
    ),
)
def test_it_is_always_between_one_and_its_most(most: int, heard: list[tuple[Sample, float, int, float]]) -> None:
    """Whatever it hears."""
    limit = Limit(most)
    for sample, seconds, in_flight, now in heard:
        limit.hear(sample, seconds, in_flight, now)
        assert 1 <= limit.value <= most
