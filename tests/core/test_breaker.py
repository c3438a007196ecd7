from __future__ import annotations

import pytest

from batcher.core.breaker import Breaker
from batcher.core.verdict import Judgement, Problem, Verdict

ALIVE = [Verdict.ACCEPTED, Verdict.REFUSED, Verdict.FAULTED]


def judged(verdict: Verdict, retry_after: float | None = None) -> Judgement:
    return Judgement(verdict, problem=Problem("outage", f"it said {verdict}"), retry_after=retry_after)


def hear(
    breaker: Breaker,
    verdict: Verdict,
    *,
    now: float = 0.0,
    record: int = 1,
    limit: int = 8,
    probe: bool = False,
    jitter: float = 1.0,
    retry_after: float | None = None,
) -> bool:
    breaker.hear(judged(verdict, retry_after), record=record, limit=limit, probe=probe, now=now, jitter=jitter)
    return breaker.is_open


@pytest.mark.parametrize(
    ("verdict", "limit", "opens"),
    [
        (Verdict.NOT_SENT, 8, True),
        (Verdict.MISDIRECTED, 8, True),
        (Verdict.THROTTLED, 1, True),
        (Verdict.THROTTLED, 2, False),
        (Verdict.UNCERTAIN, 1, False),
        (Verdict.NO_SESSION, 1, False),
        *((verdict, 1, False) for verdict in ALIVE),
    ],
)
def test_what_opens_it_at_once(verdict: Verdict, limit: int, opens: bool) -> None:  # noqa: FBT001 - a column of the table
    """What concerns every record: no connection, a wrong set-up, and throttling that nothing less can ease."""
    breaker = Breaker()
    assert hear(breaker, verdict, limit=limit, now=5.0) is opens
    assert (breaker.opened_at, breaker.detail) == ((5.0, f"it said {verdict}") if opens else (None, ""))


@pytest.mark.parametrize(("limit", "streak"), [(1, 10), (8, 10), (10, 10), (64, 64)])
def test_a_row_of_doubts_opens_it(limit: int, streak: int) -> None:
    """max(10, limit) uncertain attempts, whosever, with nothing else between."""
    breaker = Breaker()
    assert not any(hear(breaker, Verdict.UNCERTAIN, limit=limit, record=number) for number in range(streak - 1))
    assert hear(breaker, Verdict.UNCERTAIN, limit=limit)


@pytest.mark.parametrize("verdict", [*ALIVE, Verdict.NO_SESSION, Verdict.THROTTLED])
def test_any_readable_answer_ends_a_row(verdict: Verdict) -> None:
    """Nine doubts, an answer, nine doubts: the service is alive."""
    breaker = Breaker()
    for heard in [*[Verdict.UNCERTAIN] * 9, verdict, *[Verdict.UNCERTAIN] * 9]:
        assert not hear(breaker, heard)
    assert hear(breaker, Verdict.UNCERTAIN)


def test_a_fixed_limit_does_not_hide_an_outage() -> None:
    """Where the limit cannot fall to 1, turned away so many times in a row is the same."""
    breaker = Breaker()
    assert not any(hear(breaker, Verdict.THROTTLED, limit=20) for _ in range(199))
    assert hear(breaker, Verdict.THROTTLED, limit=20)
    breaker = Breaker()
    assert not any(hear(breaker, Verdict.ACCEPTED if n % 50 == 0 else Verdict.THROTTLED, limit=2) for n in range(999))


@pytest.mark.parametrize("verdict", ALIVE)
def test_an_answer_of_the_operation_closes_it(verdict: Verdict) -> None:
    """Whether it comes to a probe or to what was in flight still."""
    for probe in (True, False):
        breaker = Breaker()
        hear(breaker, Verdict.NOT_SENT)
        assert not hear(breaker, verdict, probe=probe, now=1.0)
        assert breaker.opened_at is None


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict not in ALIVE])
def test_a_probe_without_such_an_answer_keeps_it_open(verdict: Verdict) -> None:
    """And the next one waits longer; since when it is open, and why, does not change."""
    breaker = Breaker()
    hear(breaker, Verdict.NOT_SENT, now=5.0)
    assert hear(breaker, verdict, probe=True, now=6.0)
    assert (breaker.opened_at, breaker.detail, breaker.next_probe) == (5.0, "it said not_sent", 7.0)


def test_probes_wait_twice_as_long_each_time() -> None:
    """From half a second to half a minute."""
    breaker, now, waits = Breaker(), 100.0, []
    hear(breaker, Verdict.NOT_SENT, now=now)
    for _ in range(9):
        waits.append(breaker.next_probe - now)
        now = breaker.next_probe
        hear(breaker, Verdict.NOT_SENT, probe=True, now=now)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    hear(breaker, Verdict.ACCEPTED, probe=True, now=now)
    hear(breaker, Verdict.NOT_SENT, now=now)
    assert breaker.next_probe == now + 0.5


def test_a_fleet_does_not_probe_in_step() -> None:
    """The draw spreads each wait over its upper half."""
    for jitter, wait in ((0.0, 0.25), (0.5, 0.375), (0.999, 0.49975)):
        breaker = Breaker()
        hear(breaker, Verdict.NOT_SENT, jitter=jitter)
        assert breaker.next_probe == pytest.approx(wait)


def test_long_waits_of_those_that_were_turned_away_end_at_instants_that_all_share() -> None:
    """Whoever holds all that the service has gives up a part then: from half of the wait on, by the clock of all."""
    for ahead in (0.0, -100.3):
        breaker, now, waits = Breaker(ahead=ahead), 100.3, []
        hear(breaker, Verdict.THROTTLED, limit=1, now=now)
        for _ in range(9):
            wait, now = breaker.next_probe - now, breaker.next_probe
            waits.append(wait)
            hear(breaker, Verdict.THROTTLED, limit=1, probe=True, now=now, jitter=0.0)
            if len(waits) > 3:
                assert (now + ahead) % min(8.0, 2.0 ** (len(waits) - 3)) == pytest.approx(0.0, abs=1e-6)
        assert waits[:3] == pytest.approx([0.5, 0.5, 1.0])
        assert all(most / 2 <= wait <= most for wait, most in zip(waits[3:], (4, 8, 16, 30, 30, 30), strict=True))


def test_a_fleet_that_was_turned_away_probes_a_little_apart() -> None:
    """By the 128th part of the wait at most: the room that others make is not there for long."""
    probes = []
    for jitter in (0.0, 0.5, 1.0):
        breaker, now = Breaker(), 100.0
        for _ in range(5):
            hear(breaker, Verdict.THROTTLED, limit=1, probe=True, now=now, jitter=jitter)
        probes.append(breaker.next_probe)
    assert probes == pytest.approx([108.0, 108.03125, 108.0625])


def test_retry_after_delays_the_probe() -> None:
    """But is no reason to come earlier."""
    for retry_after, at in ((60.0, 60.0), (0.1, 0.5)):
        breaker = Breaker()
        hear(breaker, Verdict.THROTTLED, limit=1, retry_after=retry_after)
        assert breaker.next_probe == at


def test_what_was_in_flight_does_not_delay_the_probe() -> None:
    """More bad news of the same outage, from requests that were no probes, changes no time."""
    breaker = Breaker()
    hear(breaker, Verdict.NOT_SENT, record=1)
    hear(breaker, Verdict.NOT_SENT, record=2, now=0.4)
    assert (breaker.next_probe, breaker.opened_at) == (0.5, 0.0)


def test_it_knows_whom_it_is_about() -> None:
    """One record alone may be what is wrong; two are not. Closed, it suspects nobody."""
    breaker = Breaker()
    assert not breaker.suspects_only(1)
    hear(breaker, Verdict.MISDIRECTED, record=1)
    hear(breaker, Verdict.MISDIRECTED, record=1, probe=True)
    assert breaker.suspects_only(1)
    assert not breaker.suspects_only(2)
    hear(breaker, Verdict.MISDIRECTED, record=2, probe=True)
    assert not breaker.suspects_only(1)
    assert [breaker.has_met(record) for record in (1, 2, 3)] == [True, True, False]
    hear(breaker, Verdict.ACCEPTED, record=3, probe=True)
    assert not breaker.has_met(1)
