from __future__ import annotations

import random

import pytest

from batcher.core.slots import STATES, Shares, Slots, State, Wait, share_out


def test_every_state_is_there_from_the_beginning() -> None:
    """Before anything has happened each state stands at 0."""
    assert Slots(8, 100.0).seconds(100.0, Wait(), Wait()) == dict.fromkeys(STATES, 0.0)


def test_workers_wait_for_input_until_something_else_is_told() -> None:
    """A run begins with workers that have nothing to send."""
    assert Slots(8, 100.0).seconds(102.0, Wait(), Wait())["input"] == 16.0


def test_time_is_charged_to_what_was_told_last() -> None:
    """Each stretch of time counts for the shares that it began with, and what nobody claims is work on answers."""
    slots = Slots(4, 100.0)
    slots.charge((("permit", 2), ("order", 1)), 101.0)
    slots.charge((), 103.0)
    seconds = slots.seconds(110.0, Wait(), Wait())
    assert {state: part for state, part in seconds.items() if part} == {
        "input": 4.0, "permit": 4.0, "order": 2.0, "read": 30.0,
    }  # fmt: skip


def test_waits_under_way_count() -> None:
    """An exchange that has lasted for a minute shows, although it has not ended."""
    wait = Wait()
    wait.begin(100.0)
    wait.begin(110.0)
    assert (wait.seconds(110.0), wait.seconds(120.0)) == (10.0, 30.0)
    wait.end(120.0)
    assert wait.seconds(125.0) == 35.0
    wait.end(126.0)
    assert wait.seconds(1000.0) == 36.0


def test_the_account_stands_still_once_the_workers_are_gone() -> None:
    """What is asked after the end is what was true at the end."""
    slots = Slots(2, 100.0)
    slots.end(105.0)
    assert slots.seconds(200.0, Wait(), Wait())["input"] == 10.0


@pytest.mark.parametrize(
    ("idle", "waiting", "shares"),
    [
        (5, (), (("input", 5),)),
        (5, (("permit", 9),), (("permit", 5),)),
        (5, (("permit", 5),), (("permit", 5),)),
        (5, (("permit", 0), ("backoff", 2)), (("backoff", 2), ("input", 3))),
        (5, (("ledger", 1), ("backoff", 2), ("order", 9)), (("ledger", 1), ("backoff", 2), ("order", 2))),
    ],
)
def test_one_worker_waits_for_each_record_that_waits(idle: int, waiting: Shares, shares: Shares) -> None:
    """Workers are shared out among the records that wait, in their order; the rest lacks records."""
    assert share_out(idle, waiting, "input") == shares


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_the_states_add_up_whatever_happens(late: float) -> None:
    """At any instant the states add up to the workers times the time, and none ever falls, however late it is told."""
    chance = random.Random(7)
    slots, connect, server = Slots(6, 1e6), Wait(), Wait()
    now, before, exchanges = 1e6, slots.seconds(1e6, connect, server), 0
    states: list[State] = ["input", "order", "permit", "rate", "ledger", "output", "backoff", "pause"]
    for _ in range(3000):
        now += chance.random()
        if exchanges and chance.random() < 0.5:
            server.end(now)
            exchanges -= 1
        elif exchanges < 6:
            server.begin(now)
            exchanges += 1
        now += late * chance.random()
        if not late or chance.random() < 0.7:
            slots.charge(share_out(6 - exchanges, ((chance.choice(states), 3),), chance.choice(states)), now)
        seconds = slots.seconds(now, connect, server)
        assert sum(seconds.values()) == pytest.approx(6 * (now - 1e6), abs=1e-6)
        assert all(seconds[state] >= before[state] for state in seconds)
        before = seconds
    assert all(before[state] > 10.0 for state in (*states, "server"))


def test_a_worker_is_charged_once() -> None:
    """Who waits is told when the worker has long begun to wait for an answer: that time is the answer's alone."""
    slots, server = Slots(2, 100.0), Wait()
    slots.charge((("permit", 1), ("rate", 1)), 100.0)
    server.begin(101.0)  # of whoever waited for the permit; it is told at 104 only
    assert sum(slots.seconds(103.0, Wait(), server).values()) == 6.0
    slots.charge((("rate", 1),), 104.0)
    seconds = slots.seconds(110.0, Wait(), server)
    assert (seconds["server"], seconds["read"], sum(seconds.values())) == (9.0, 0.0, 20.0)
    assert seconds["permit"] + seconds["rate"] == 11.0
