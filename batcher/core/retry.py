"""What happens to a record after an attempt: it ends, or it is sent again after a while, within the retry budget.

Doubt sticks: after one UNCERTAIN attempt a record ends only delivered or in doubt, whatever later attempts say.
Throttling, a lost session, a wrong set-up and an outage concern the run and cost the record nothing, but a refusal is
systemic only while no other record is accepted: one that is refused again and again while others pass takes it as its
own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

from batcher.core.sessions import Refusal
from batcher.core.verdict import Judgement, Outcome, Problem, Verdict

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0
_THROTTLED_PATIENCE = 10
"""An overloaded service turns any record away many times; only after so many times more is the record suspected."""

_AT_ONCE = frozenset({Refusal.OUTDATED, Refusal.LOST, Refusal.USELESS})  # a new session or the breaker comes between
_COSTLY = frozenset({Verdict.REFUSED, Verdict.FAULTED, Verdict.UNCERTAIN})


class Policy(NamedTuple):
    """What the operator allows.

    Attributes:
        max_attempts: that may be spent on a record.
        in_doubt: whether a request that may have been applied is sent again: where the record is safe, never, always.
        retry_faults: whether a Server fault is sent again: where the record is safe or the fault is transient, always,
            never.
    """

    max_attempts: int = 6
    in_doubt: Literal["auto", "hold", "resend"] = "auto"
    retry_faults: Literal["auto", "always", "never"] = "auto"

    def may_resend(self, *, safe: bool) -> bool:
        """Whether a request that may have been applied is sent again; *safe*: twice does the same as once."""
        return self.in_doubt == "resend" or (self.in_doubt == "auto" and safe)


@dataclass(slots=True)
class History:
    """What a record has been through.

    Attributes:
        safe: sending it twice does the same as sending it once.
        attempts: requests made for it.
        spent: of those, the ones that count against ``max_attempts``.
        refused: times that it was turned away while other records were accepted.
        fault: what was wrong with its last FAULTED attempt.
        doubt: what was wrong with its first UNCERTAIN attempt.
    """

    safe: bool
    attempts: int = 0
    spent: int = 0
    refused: int = 0
    fault: Problem | None = None
    doubt: Problem | None = None

    @property
    def may_be_applied(self) -> bool:
        """An attempt of it was not refused for certain: a fault does not prove that nothing was saved."""
        return self.doubt is not None or self.fault is not None

    def accept(self) -> Ended:
        """An attempt was accepted: how the record ends."""
        self.attempts += 1
        return _DELIVERED

    def cut_short(self, problem: Problem) -> None:
        """Its attempt was ended by us: it may have been applied."""
        self.attempts += 1
        self.doubt = self.doubt or problem

    def conclude(self, kind: str, message: str) -> Ended:
        """How the record ends when the run ends first; *kind* and *message* say why, for one that was never read."""
        if self.doubt is not None:
            return Ended(Outcome.IN_DOUBT, self.doubt)
        if self.fault is not None:  # not unsent: that would say that nobody has ever read it
            return Ended(Outcome.REJECTED, self.fault)
        return Ended(Outcome.UNSENT, Problem(kind, message))


@dataclass(frozen=True, slots=True)
class Ended:
    """The record has its outcome; *problem* is None for delivered ones."""

    outcome: Outcome
    problem: Problem | None = None


_DELIVERED = Ended(Outcome.DELIVERED)


@dataclass(frozen=True, slots=True)
class Again:
    """The record is to be sent again in *delay* seconds; *budgeted* retries wait for the retry budget as well."""

    delay: float
    budgeted: bool


def decide(
    history: History,
    judgement: Judgement,
    policy: Policy,
    *,
    refusal: Refusal | None = None,
    others_accepted: bool,
    jitter: float,
    probe: bool = False,
) -> Ended | Again:
    """What follows an attempt; brings *history* up to date with it.

    Args:
        history: of the record, without this attempt.
        judgement: of this attempt.
        policy: the operator's.
        refusal: for NO_SESSION, what the session's books make of it.
        others_accepted: other records were accepted since this record's last attempt, so that being turned away is
            nothing that all of them meet.
        jitter: a draw from [0, 1): passed in, it keeps this rule a table that one can test.
        probe: it was sent to see whether the service is back. That no readable answer came is not this record's doing
            then, and costs it nothing if it may be sent any number of times.
    """
    verdict = judgement.verdict
    history.attempts += 1
    if not (probe and history.safe and verdict is Verdict.UNCERTAIN):
        history.spent += verdict in _COSTLY
    if verdict is Verdict.ACCEPTED:
        return _DELIVERED
    if verdict is Verdict.UNCERTAIN:
        history.doubt = history.doubt or judgement.problem
        if not policy.may_resend(safe=history.safe) or history.spent >= policy.max_attempts:
            return Ended(Outcome.IN_DOUBT, history.doubt)
        return Again(_wait(history.spent, judgement, jitter), budgeted=True)
    if verdict is Verdict.FAULTED:
        history.fault = judgement.problem
        allowed = policy.retry_faults == "always" or (
            policy.retry_faults == "auto" and (history.safe or judgement.transient)
        )
        if not allowed or history.spent >= policy.max_attempts:
            return _refuse(history, judgement)
        return Again(_wait(history.spent, judgement, jitter), budgeted=True)
    if verdict is Verdict.REFUSED or refusal is Refusal.OWN:
        return _refuse(history, judgement)
    if verdict is Verdict.NOT_SENT:
        return Again(0.0, budgeted=False)
    history.refused += others_accepted
    return _turned_away(history, judgement, policy, refusal, jitter)


def _turned_away(
    history: History, judgement: Judgement, policy: Policy, refusal: Refusal | None, jitter: float
) -> Ended | Again:
    """What follows where the service did not look at the record: again, but not for ever."""
    verdict = judgement.verdict
    patience = policy.max_attempts * (_THROTTLED_PATIENCE if verdict is Verdict.THROTTLED else 1)
    if history.refused >= patience:
        return _refuse(history, judgement)
    if refusal in _AT_ONCE:
        return Again(0.0, budgeted=False)
    # With Retry-After all sending waits, this record among the rest; 0 and a date in the past ask for no wait at all.
    alone = 0.0 if judgement.retry_after else _backoff(history.attempts - history.spent, jitter)
    return Again(alone, budgeted=False)


def _refuse(history: History, judgement: Judgement) -> Ended:
    if history.doubt is not None:
        return Ended(Outcome.IN_DOUBT, history.doubt)
    return Ended(Outcome.REJECTED, judgement.problem)


def _wait(count: int, judgement: Judgement, jitter: float) -> float:
    return max(_backoff(count, jitter), min(judgement.retry_after or 0.0, _LONGEST_BACKOFF))


def _backoff(count: int, jitter: float) -> float:
    """Seconds to wait after *count* attempts: "full jitter" of AWS's article "Exponential Backoff And Jitter"."""
    return jitter * min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(count - 1, 10))


class RetryBudget:
    """Keeps retries below a share of the requests of the last ten seconds; ten a second are always allowed.

    When a service fails, retries on top of the usual load are what keeps it down.

    Args:
        share: of all requests, 0 to 1.
    """

    WINDOW = 10.0
    ALWAYS = 10

    def __init__(self, share: float) -> None:
        self._share = share
        self._seconds: deque[list[int]] = deque()  # [second, requests, retries], oldest first
        self._last: list[int] = []
        self._ends = 0.0  # of the last one
        self._requests = 0
        self._retries = 0

    def request(self, now: float) -> None:
        """Count a request that is sent at *now*."""
        if now >= self._ends:
            self._forget(now)
            self._last = [int(now), 0, 0]
            self._seconds.append(self._last)
            self._ends = int(now) + 1.0
        self._last[1] += 1
        self._requests += 1

    def retry(self, now: float) -> None:
        """Count a request that is sent at *now* and is a retry."""
        self.request(now)
        self._last[2] += 1
        self._retries += 1

    def allows(self, now: float) -> bool:
        """Whether a retry may be sent at *now*; if not, it may be at the next full second, perhaps."""
        self._forget(now)
        this_second = self._seconds[-1][2] if self._seconds and self._seconds[-1][0] == int(now) else 0
        return this_second < self.ALWAYS or self._retries + 1 <= self._share * self._requests

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= int(now) - self.WINDOW:
            _, requests, retries = self._seconds.popleft()
            self._requests -= requests
            self._retries -= retries
