from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.limit import Limit
from batcher.core.verdict import Sample
from tests.core.samples import quickly


class World:
    """A service that answers after 0.1 s, and a client that keeps as many requests in flight as it may.

    Args:
        limit: the limit.
        wanted: requests that the client has at a time, at most.
        capacity: requests that the service works on at a time; those above are turned away.
    """

    def __init__(self, limit: Limit, *, wanted: int = 1000, capacity: int = 1000) -> None:
        self.limit = limit
        self.wanted = wanted
        self.capacity = capacity
        self.now = 0.0
        self._flying: deque[tuple[float, Sample]] = deque()  # when each was sent, and what its answer will tell
        self._send()

    def _send(self) -> None:
        while len(self._flying) < min(self.limit.value, self.wanted):
            taken = len(self._flying) < self.capacity
            self._flying.append((self.now, Sample.SUCCESS if taken else Sample.DROPPED))

    def round_trip(self) -> int:
        """All that is in flight is answered, one after another, each making room for others."""
        for _ in range(len(self._flying)):
            sent, sample = self._flying[0]
            self.now = max(self.now + 1e-6, sent + 0.1)  # no two at the same instant
            self.limit.hear(sample, self.now - sent, len(self._flying), self.now)
            self._flying.popleft()
            self._send()
        return self.limit.value


def test_it_doubles_each_round_trip_up_to_its_most() -> None:
    """A service that takes everything gets all connections within a few round trips."""
    world = World(Limit(64))
    assert world.limit.value == 8
    assert [world.round_trip() for _ in range(5)] == [16, 32, 64, 64, 64]


def test_it_never_begins_above_its_most() -> None:
    """With three connections three requests are in flight."""
    world = World(Limit(3))
    assert [world.limit.value, world.round_trip(), world.round_trip()] == [3, 3, 3]


def test_one_loss_cuts_it_and_the_rest_of_its_round_trip_does_not() -> None:
    """What was in flight at the cut tells nothing new; what was sent after it does."""
    limit = Limit(64)
    limit.hear(Sample.DROPPED, 0.1, 8, 1.0)
    assert limit.value == 5
    for _ in range(7):
        limit.hear(Sample.DROPPED, 0.1, 7, 1.05)
    assert limit.value == 5
    limit.hear(Sample.DROPPED, 0.1, 5, 1.2)
    assert limit.value == 3


def test_after_a_loss_it_grows_by_one_a_round_trip() -> None:
    """The doubling is over for good."""
    world = World(Limit(64))
    world.round_trip()
    world.limit.hear(Sample.DROPPED, 0.1, 16, world.now)
    assert world.limit.value == 11
    values = [world.round_trip() for _ in range(10)]
    assert values[0] in {11, 12}
    assert values[-1] in {20, 21}
    assert all(after - before in {0, 1} for before, after in pairwise(values))


@pytest.mark.parametrize("losses", range(1, 12))
def test_it_comes_back_from_any_number_of_losses(losses: int) -> None:
    """However far it was cut, to whatever fraction, a service that answers again gets all connections again."""
    world = World(Limit(64))
    for _ in range(losses):
        world.now += 1.0
        world.limit.hear(Sample.DROPPED, 0.1, world.limit.value, world.now)
    assert 1 <= world.limit.value < 8
    for _ in range(70):
        world.round_trip()
    assert world.limit.value == 64


def test_it_settles_near_the_capacity() -> None:
    """A service that drops all over 20 at a time is kept busy and not flooded."""
    world = World(Limit(64), capacity=20)
    values = [world.round_trip() for _ in range(200)][20:]
    assert min(values) >= 13
    assert max(values) <= 22


def test_it_grows_only_while_it_holds_sending_back() -> None:
    """With less to send than it allows, success says nothing about more."""
    world = World(Limit(64), wanted=7)
    assert [world.round_trip() for _ in range(20)] == [8] * 20
    world.wanted = 20
    assert [world.round_trip() for _ in range(20)][-1] == 23, "more than nine tenths of 22 are in use"


def test_faults_teach_nothing() -> None:
    """What is about the record's content neither grows nor cuts it."""
    limit = Limit(64)
    for _ in range(100):
        limit.hear(Sample.IGNORE, 0.1, 8, 1.0)
    assert limit.value == 8


def test_a_fixed_limit_stays() -> None:
    """The operator's own number is neither grown nor cut."""
    world = World(Limit(64, 20))
    for _ in range(10):
        world.round_trip()
        world.limit.hear(Sample.DROPPED, 0.1, 20, world.now)
        assert world.limit.value == 20


@quickly
@given(
    most=st.integers(1, 100),
    heard=st.lists(st.tuples(st.sampled_from(Sample), st.floats(0, 200), st.integers(1, 100), st.floats(0, 1e6))),
)
def test_it_is_always_between_one_and_its_most(most: int, heard: list[tuple[Sample, float, int, float]]) -> None:
    """Whatever it hears."""
    limit = Limit(most)
    for sample, seconds, in_flight, now in heard:
        limit.hear(sample, seconds, in_flight, now)
        assert 1 <= limit.value <= most
