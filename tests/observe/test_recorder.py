from __future__ import annotations

from functools import partial

import pytest

from batcher.core.events import Draining, LoggedIn, Paused, RecordRead, Resumed
from batcher.observe.recorder import Recorder
from batcher.observe.tally import Gauges, Tally
from batcher.observe.timeline import MARKS


@pytest.fixture
def recorder(tally: Tally) -> Recorder:
    return Recorder(tally)


def tell(tally: Tally, recorder: Recorder, event: Paused | Resumed | LoggedIn | Draining) -> None:
    tally.notice(event)
    recorder.notice(event)


def test_a_look_keeps_what_is_new(told: Tally, now: list[float]) -> None:
    """The first look keeps all that was counted, the next one only what has come since; states are kept as they are."""
    recorder = Recorder(told)
    recorder.look()
    (slot,) = (slot for slot in recorder.timeline.slots if slot.sums)
    assert {name: value for name, value in slot.sums.items() if not name.startswith("latency.")} == {
        "seconds": 10, "samples": 1, "limit": 16, "in_flight": 1, "waiting": 2,
        "outcome.delivered": 2, "outcome.rejected": 1, "outcome.invalid": 1, "outcome.in_doubt": 1, "outcome.unsent": 1,
        "attempt.accepted": 2, "attempt.faulted": 2, "attempt.uncertain": 1, "attempt.no_session": 1,
        "attempt.throttled": 1, "request_bytes": 9100, "response_bytes": 3550,
    }  # fmt: skip
    assert sum(value for name, value in slot.sums.items() if name.startswith("latency.")) == 7
    told.notice(RecordRead(5))
    told.gauges = lambda: Gauges(in_flight=3, limit=8)
    now[0] += 2
    recorder.look()
    assert recorder.timeline.slots[-1].sums == {"seconds": 2, "samples": 1, "limit": 8, "in_flight": 3}
    assert recorder.timeline.total("attempt.accepted") == 2


def test_a_look_without_time_keeps_nothing(tally: Tally, recorder: Recorder) -> None:
    """Two looks at one instant are one."""
    recorder.look()
    assert recorder.timeline.slots == []


def test_pauses_are_kept_to_the_instant(tally: Tally, recorder: Recorder, now: list[float]) -> None:
    """A pause counts in the slots that it covers, also the part of one that begins or ends between two looks."""
    now[0] += 0.75
    tell(tally, recorder, Paused("outage", "connection\nrefused", None))
    now[0] += 0.25
    recorder.look()
    now[0] += 1
    recorder.look()
    now[0] += 0.5
    tell(tally, recorder, Resumed("outage", 1.75))
    now[0] += 0.125
    tell(tally, recorder, Paused("throttled", "503", 0.25))
    now[0] += 0.25
    tell(tally, recorder, Resumed("throttled", 0.25))
    now[0] += 0.125
    recorder.look()
    timeline = recorder.timeline
    assert [slot.sums.get("paused.outage", 0) for slot in timeline.slots] == [0.25, 1, 0.5]
    assert [slot.sums.get("paused.throttled", 0) for slot in timeline.slots] == [0, 0, 0.25]
    assert [(mark.elapsed, mark.kind, mark.text) for mark in timeline.marks] == [
        (0.75, "paused", "outage: connection refused"),
        (2.5, "resumed", "outage, after 1.8 s"),
        (2.625, "paused", "throttled: 503"),
        (2.875, "resumed", "throttled, after 0.2 s"),
    ]


def test_limits_are_marked_where_they_have_moved_far(tally: Tally, recorder: Recorder, now: list[float]) -> None:
    """The first one, and each that is twice or half of the one marked before, twenty seconds apart at least."""
    limits = [4] * 10 + [40] * 30 + [44, 60, 75, 60] + [20] * 3 + [64] * 30 + [33] + [32] * 10
    for limit in limits:
        tally.gauges = partial(Gauges, limit=limit)
        now[0] += 1
        recorder.look()
    assert [(mark.elapsed, mark.kind, mark.text) for mark in recorder.timeline.marks] == [
        (1, "limit", "4 requests at first"),
        (21, "limit", "raised from 4 to 40 requests"),
        (45, "limit", "cut from 40 to 20 requests"),
        (65, "limit", "raised from 20 to 64 requests"),
        (85, "limit", "cut from 64 to 32 requests"),
    ]


def test_a_restless_limit_leaves_room(tally: Tally, recorder: Recorder, now: list[float]) -> None:
    """In a night in which the limit never rests, fewer marks tell of it than there is room for."""
    for second in range(0, 40_000, 4):
        tally.gauges = partial(Gauges, limit=64 if second % 8 else 8)
        now[0] += 4
        recorder.look()
    marks = recorder.timeline.marks
    assert {mark.kind for mark in marks} == {"limit"}
    assert 50 < len(marks) < MARKS


def test_logins_the_drain_and_the_end_are_marked(tally: Tally, recorder: Recorder, now: list[float]) -> None:
    """What changes a run's course stands there with its instant; texts are one line and capped."""
    tell(tally, recorder, LoggedIn("refused", "Not_Found\n" * 100))
    now[0] += 2
    tell(tally, recorder, Draining("SIGTERM"))
    recorder.end("exit 6")
    marks = recorder.timeline.marks
    assert [(mark.at - tally.started_wall, mark.kind) for mark in marks] == [(0, "login"), (2, "draining"), (2, "end")]
    assert len(marks[0].text) <= 200
    assert "\n" not in marks[0].text
    assert recorder.timeline.total("seconds") == 2


def test_where_the_time_went_is_kept(tally: Tally, recorder: Recorder, now: list[float]) -> None:
    """The seconds of each state are kept as they grow."""
    spent = {"sending": 1.5, "backoff": 0.0}
    tally.slot_seconds = lambda: spent
    for seconds in (1.5, 4.0):
        now[0] += 1
        spent["sending"] = seconds
        recorder.look()
    assert [slot.sums["slots.sending"] for slot in recorder.timeline.slots] == [1.5, 2.5]
    assert recorder.timeline.total("slots.backoff") == 0
