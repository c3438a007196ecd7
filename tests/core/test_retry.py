from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.retry import Again, Ended, History, Policy, RetryBudget, decide
from batcher.core.sessions import Refusal
from batcher.core.verdict import Judgement, Outcome, Problem, Verdict
from tests.core.samples import quickly

PROBLEMS = {verdict: Problem("server_fault", f"what {verdict} says") for verdict in Verdict}


def judged(verdict: Verdict, *, transient: bool = False, retry_after: float | None = None) -> Judgement:
    problem = None if verdict is Verdict.ACCEPTED else PROBLEMS[verdict]
    return Judgement(verdict, problem=problem, transient=transient, retry_after=retry_after)


def live(
    history: History, *judgements: Judgement, policy: Policy | None = None, others: bool = False, jitter: float = 0.5
) -> list[Ended | Again]:
    """What follows each of a record's attempts."""
    return [
        decide(history, judgement, policy or Policy(), others_accepted=others, jitter=jitter)
        for judgement in judgements
    ]


SAFE, UNSAFE = True, False


@pytest.mark.parametrize(
    ("verdict", "in_doubt", "retry_faults", "safe", "outcome"),
    [
        (Verdict.ACCEPTED, "auto", "auto", UNSAFE, Outcome.DELIVERED),
        (Verdict.REFUSED, "resend", "always", SAFE, Outcome.REJECTED),
        (Verdict.UNCERTAIN, "auto", "auto", SAFE, None),
        (Verdict.UNCERTAIN, "auto", "always", UNSAFE, Outcome.IN_DOUBT),
        (Verdict.UNCERTAIN, "hold", "auto", SAFE, Outcome.IN_DOUBT),
        (Verdict.UNCERTAIN, "hold", "auto", UNSAFE, Outcome.IN_DOUBT),
        (Verdict.UNCERTAIN, "resend", "never", SAFE, None),
        (Verdict.UNCERTAIN, "resend", "never", UNSAFE, None),
        (Verdict.FAULTED, "auto", "auto", SAFE, None),
        (Verdict.FAULTED, "resend", "auto", UNSAFE, Outcome.REJECTED),
        (Verdict.FAULTED, "hold", "always", SAFE, None),
        (Verdict.FAULTED, "hold", "always", UNSAFE, None),
        (Verdict.FAULTED, "auto", "never", SAFE, Outcome.REJECTED),
        (Verdict.FAULTED, "auto", "never", UNSAFE, Outcome.REJECTED),
        *((verdict, "hold", "never", UNSAFE, None) for verdict in (Verdict.THROTTLED, Verdict.NO_SESSION)),
        *((verdict, "hold", "never", UNSAFE, None) for verdict in (Verdict.MISDIRECTED, Verdict.NOT_SENT)),
    ],
)
def test_what_follows_one_attempt(
    *,
    verdict: Verdict,
    in_doubt: Literal["auto", "hold", "resend"],
    retry_faults: Literal["auto", "always", "never"],
    safe: bool,
    outcome: Outcome | None,
) -> None:
    """The policies decide about doubt and faults by whether the record is safe; being turned away is none of both."""
    (step,) = live(History(safe), judged(verdict), policy=Policy(6, in_doubt, retry_faults))
    if outcome is None:
        assert isinstance(step, Again)
        assert step.budgeted is (verdict in {Verdict.UNCERTAIN, Verdict.FAULTED})
    else:
        assert step == Ended(outcome, None if outcome is Outcome.DELIVERED else PROBLEMS[verdict])


@pytest.mark.parametrize(("policy", "again"), [("auto", True), ("always", True), ("never", False)])
def test_a_transient_fault_is_sent_again(policy: Literal["auto", "always", "never"], again: bool) -> None:  # noqa: FBT001 - a column of the table
    """A fault whose text says that it will pass was turned away: an unsafe record too goes again, unless never."""
    (step,) = live(History(UNSAFE), judged(Verdict.FAULTED, transient=True), policy=Policy(retry_faults=policy))
    assert isinstance(step, Again) is again


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.ACCEPTED])
def test_doubt_sticks(verdict: Verdict) -> None:
    """After one uncertain attempt no answer but success makes the record anything else than doubtful."""
    history = History(SAFE)
    live(history, judged(Verdict.UNCERTAIN))
    problem = history.doubt
    steps = live(history, *[judged(verdict)] * 100, others=True)
    ended = next((step for step in steps if isinstance(step, Ended)), history.conclude("interrupted", "signal"))
    assert ended == Ended(Outcome.IN_DOUBT, problem)
    assert live(history, judged(Verdict.ACCEPTED)) == [Ended(Outcome.DELIVERED)]


def test_a_probe_that_gets_no_readable_answer_costs_a_safe_record_nothing() -> None:
    """An outage may be probed for as long as it lasts; what is not safe to send twice is sent no more often for it."""

    def probe(history: History, verdict: Verdict, policy: Policy) -> Ended | Again:
        return decide(history, judged(verdict), policy, others_accepted=False, jitter=0.5, probe=True)

    history = History(SAFE, attempts=1, spent=1)
    for _ in range(50):
        assert isinstance(probe(history, Verdict.UNCERTAIN, Policy(2)), Again)
    assert (history.attempts, history.spent, history.doubt) == (51, 1, PROBLEMS[Verdict.UNCERTAIN])
    assert live(history, judged(Verdict.UNCERTAIN), policy=Policy(2)) == [Ended(Outcome.IN_DOUBT, history.doubt)]
    for safe, verdict in ((UNSAFE, Verdict.UNCERTAIN), (SAFE, Verdict.FAULTED)):
        counted = History(safe)
        assert isinstance(probe(counted, verdict, Policy(2, "resend")), Again)
        assert isinstance(probe(counted, verdict, Policy(2, "resend")), Ended)


@pytest.mark.parametrize("verdict", [Verdict.UNCERTAIN, Verdict.FAULTED])
@pytest.mark.parametrize("most", [1, 2, 6])
def test_attempts_are_counted(verdict: Verdict, most: int) -> None:
    """A record ends with the last attempt that it may have, neither before nor after."""
    history = History(SAFE)
    steps = live(history, *[judged(verdict)] * most, policy=Policy(most))
    assert all(isinstance(step, Again) for step in steps[:-1])
    assert isinstance(steps[-1], Ended)
    assert (history.attempts, history.spent) == (most, most)


def test_being_turned_away_costs_nothing() -> None:
    """Throttling, lost sessions, a wrong set-up and missing connections leave the record its attempts."""
    turned_away = [Verdict.THROTTLED, Verdict.NO_SESSION, Verdict.MISDIRECTED, Verdict.NOT_SENT]
    history = History(SAFE)
    steps = live(history, *map(judged, turned_away * 50))
    assert all(isinstance(step, Again) and not step.budgeted for step in steps)
    assert (history.attempts, history.spent) == (200, 0)
    assert isinstance(live(history, judged(Verdict.FAULTED))[0], Again)


@pytest.mark.parametrize(
    ("verdict", "patience"), [(Verdict.MISDIRECTED, 6), (Verdict.NO_SESSION, 6), (Verdict.THROTTLED, 60)]
)
def test_a_record_that_others_pass_takes_it_as_its_own(verdict: Verdict, patience: int) -> None:
    """Turned away again and again while others are accepted, it is rejected; an overloaded service has more credit."""
    steps = live(History(UNSAFE), *[judged(verdict)] * patience, others=True)
    assert all(isinstance(step, Again) for step in steps[:-1])
    assert steps[-1] == Ended(Outcome.REJECTED, PROBLEMS[verdict])


def test_missing_connections_are_never_the_records_own() -> None:
    """No byte of it was read, so no record is rejected for them."""
    steps = live(History(UNSAFE), *[judged(Verdict.NOT_SENT)] * 1000, others=True)
    assert set(steps) == {Again(0.0, budgeted=False)}


@pytest.mark.parametrize(
    ("refusal", "step"),
    [
        (Refusal.OWN, Ended(Outcome.REJECTED, PROBLEMS[Verdict.NO_SESSION])),
        (Refusal.OUTDATED, Again(0.0, budgeted=False)),
        (Refusal.LOST, Again(0.0, budgeted=False)),
        (Refusal.USELESS, Again(0.0, budgeted=False)),
        (Refusal.UNCLEAR, Again(0.25, budgeted=False)),
    ],
)
def test_what_follows_a_refused_session(refusal: Refusal, step: Ended | Again) -> None:
    """A new session or the breaker comes first, so no wait of its own; where it is unclear, the record waits."""
    history = History(UNSAFE)
    found = decide(history, judged(Verdict.NO_SESSION), Policy(), refusal=refusal, others_accepted=True, jitter=0.5)
    assert found == step
    assert (history.attempts, history.spent) == (1, 0)
    assert history.refused == (refusal is not Refusal.OWN)


@pytest.mark.parametrize(("retry_after", "delay"), [(None, 0.25), (60.0, 0.0), (0.1, 0.0), (0.0, 0.25)])
def test_a_throttled_record_waits_once(retry_after: float | None, delay: float) -> None:
    """With Retry-After all sending pauses, and the record adds nothing; 0 is no pause, so it backs off."""
    assert live(History(UNSAFE), judged(Verdict.THROTTLED, retry_after=retry_after)) == [Again(delay, budgeted=False)]


@pytest.mark.parametrize(("retry_after", "delay"), [(None, 0.25), (0.1, 0.25), (7.0, 7.0), (3600.0, 30.0)])
def test_a_fault_may_ask_to_wait(retry_after: float | None, delay: float) -> None:
    """A fault's Retry-After is kept to, up to half a minute."""
    (step,) = live(History(SAFE), judged(Verdict.FAULTED, retry_after=retry_after))
    assert step == Again(delay, budgeted=True)


@pytest.mark.parametrize("verdict", [Verdict.UNCERTAIN, Verdict.FAULTED, Verdict.THROTTLED, Verdict.MISDIRECTED])
def test_waits_double_up_to_half_a_minute(verdict: Verdict) -> None:
    """At full jitter: 0.5 s, 1, 2, … and 30 at most."""
    steps = live(History(SAFE), *[judged(verdict)] * 9, policy=Policy(100), jitter=1.0)
    assert [step.delay for step in steps if isinstance(step, Again)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@quickly
@given(
    verdicts=st.lists(
        st.sampled_from([verdict for verdict in Verdict if verdict is not Verdict.ACCEPTED]), max_size=40
    ),
    jitter=st.floats(0, 1, exclude_max=True),
    retry_after=st.none() | st.floats(0, 1e9),
)
def test_no_wait_is_negative_or_beyond_half_a_minute(
    verdicts: list[Verdict], jitter: float, retry_after: float | None
) -> None:
    """Whatever a record goes through."""
    judgements = [judged(verdict, retry_after=retry_after) for verdict in verdicts]
    for step in live(History(SAFE), *judgements, policy=Policy(1000), jitter=jitter):
        assert isinstance(step, Ended) or 0 <= step.delay <= 30


UNSENT = Ended(Outcome.UNSENT, Problem("interrupted", "signal"))


@pytest.mark.parametrize(
    ("verdicts", "ended"),
    [
        ([], UNSENT),
        ([Verdict.THROTTLED, Verdict.NO_SESSION, Verdict.NOT_SENT, Verdict.MISDIRECTED], UNSENT),
        ([Verdict.FAULTED], Ended(Outcome.REJECTED, PROBLEMS[Verdict.FAULTED])),
        ([Verdict.FAULTED, Verdict.THROTTLED], Ended(Outcome.REJECTED, PROBLEMS[Verdict.FAULTED])),
        ([Verdict.UNCERTAIN, Verdict.FAULTED, Verdict.NOT_SENT], Ended(Outcome.IN_DOUBT, PROBLEMS[Verdict.UNCERTAIN])),
        ([Verdict.FAULTED, Verdict.UNCERTAIN], Ended(Outcome.IN_DOUBT, PROBLEMS[Verdict.UNCERTAIN])),
    ],
)
def test_how_a_record_ends_with_the_run(verdicts: list[Verdict], ended: Ended) -> None:
    """Unsent says that nobody has read it; once it was read, the worst that was said of it stays."""
    history = History(SAFE)
    live(history, *map(judged, verdicts))
    assert history.conclude("interrupted", "signal") == ended


def test_the_first_doubt_is_the_reason() -> None:
    """Later doubts add nothing to it."""
    history, later = History(SAFE), Judgement(Verdict.UNCERTAIN, problem=Problem("gateway", "later"))
    steps = live(history, judged(Verdict.UNCERTAIN), later, policy=Policy(2))
    assert steps[-1] == Ended(Outcome.IN_DOUBT, PROBLEMS[Verdict.UNCERTAIN])


def test_an_attempt_that_was_cut_short_is_a_doubt() -> None:
    """It counts as an attempt, and what was doubtful first stays the reason."""
    history = History(SAFE)
    history.cut_short(Problem("timeout", "first"))
    history.cut_short(Problem("timeout", "second"))
    assert history.attempts == 2
    assert history.conclude("interrupted", "signal") == Ended(Outcome.IN_DOUBT, Problem("timeout", "first"))


def sent(budget: RetryBudget, now: float, requests: int, wanted: int) -> int:
    """Send *requests* and then as many of *wanted* retries as the budget allows."""
    for _ in range(requests):
        budget.request(now)
    allowed = 0
    while allowed < wanted and budget.allows(now):
        budget.retry(now)
        allowed += 1
    return allowed


def test_ten_retries_a_second_are_always_allowed() -> None:
    """Also with a share of nothing, and without any other request; the eleventh waits for the next second."""
    for share in (0.0, 0.2):
        budget = RetryBudget(share)
        assert [sent(budget, now, 0, 100) for now in (0.0, 0.5, 0.999, 1.0, 1.5, 2.0)] == [10, 0, 0, 10, 0, 10]


def test_retries_are_a_share_of_what_is_sent() -> None:
    """Of 1,000 requests a second, 20% more: a quarter of the first ones, as retries are requests themselves."""
    budget = RetryBudget(0.2)
    assert sent(budget, 0.0, 1000, 1000) == 249
    assert sent(budget, 1.0, 1000, 1000) == 250


def test_old_requests_carry_no_retries() -> None:
    """After ten seconds what was sent is forgotten, requests and retries alike."""
    budget = RetryBudget(0.2)
    assert sent(budget, 0.0, 1000, 0) == 0
    assert sent(budget, 9.9, 0, 1000) == 249
    budget = RetryBudget(0.2)
    assert sent(budget, 0.0, 1000, 0) == 0
    assert sent(budget, 10.0, 0, 1000) == 10
    budget = RetryBudget(0.2)
    assert sent(budget, 0.0, 1000, 1000) == 249
    assert sent(budget, 10.0, 0, 1000) == 10
    assert sent(budget, 1000.0, 100, 1000) == 24


@quickly
@given(
    share=st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    seconds=st.lists(
        st.tuples(st.sampled_from([0.1, 0.7, 1.0, 3.3, 20.0]), st.integers(0, 90), st.integers(0, 40)), max_size=12
    ),
)
def test_the_share_is_kept_and_no_wait_is_for_ever(share: float, seconds: list[tuple[float, int, int]]) -> None:
    """Each retry is one of ten in its second, or within the share of the ten seconds up to it; none waits in vain."""
    budget, now = RetryBudget(share), 0.0
    requests: list[float] = []
    retries: list[float] = []
    for step, fresh, wanted in seconds:
        now += step
        requests += [now] * fresh
        for _ in range(sent(budget, now, fresh, wanted)):
            requests.append(now)
            retries.append(now)
            recent = sum(when > int(now) - 9 - 1e-9 for when in retries)
            in_window = sum(when > int(now) - 9 - 1e-9 for when in requests)
            this_second = sum(int(when) == int(now) for when in retries)
            assert this_second <= 10 or recent <= share * in_window
    assert budget.allows(now + 1.0)
