"""The one place that counts; metrics, progress and summary read it.

Every label value of the closed sets is there from the beginning, at 0. What is a state rather than an event (in
flight, waiting, connections) is not counted but asked for, by ``Tally.gauges``, when somebody reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from batcher.core.events import (
    LOGIN_RESULTS,
    PAUSE_REASONS,
    AttemptEnded,
    Committed,
    Delivered,
    Draining,
    Event,
    LoggedIn,
    Paused,
    RecordEnded,
    RecordRead,
    RecordResumed,
    Resumed,
    RetryScheduled,
)
from batcher.core.latency import Latency
from batcher.core.verdict import Judgement, Outcome, Verdict
from batcher.observe.problems import Problems

HTTP_CODES = (
    *("200", "400", "401", "403", "404", "405", "408", "410", "413", "415", "429"),
    *("500", "502", "503", "504", "other"),
)
FAULT_CODES = ("Client", "Server", "VersionMismatch", "MustUnderstand", "other")
FAULT_ACTIONS = ("retried", "final", "session", "other")
"""What came of a fault: the record was sent again; it was the record's end; a new login was asked for; or it told
of the run rather than of the record (throttled, set up wrongly)."""
RETRY_REASONS: tuple[Verdict, ...] = tuple(
    verdict for verdict in Verdict if verdict not in (Verdict.ACCEPTED, Verdict.REFUSED)
)
"""Verdicts after which a record can be sent again."""
CONNECTION_STATES = ("active", "idle")

DOUBTFUL = 1000
"""Records in doubt that are remembered by line; the results hold them all."""

_CODES = {int(code): code for code in HTTP_CODES if code.isdigit()}
# SOAP 1.2 renamed the codes of 1.1; both are told by the older names.
_FAULT_CODES = {code: code for code in FAULT_CODES} | {"Sender": "Client", "Receiver": "Server"}
_SETTLED_AT_ONCE = {Verdict.NO_SESSION: "session", Verdict.THROTTLED: "other", Verdict.MISDIRECTED: "other"}


class Gauges(NamedTuple):
    """The state of a run at one moment.

    Attributes:
        in_flight: requests that were sent and have no answer yet.
        waiting: records that were read and are neither in flight nor ended.
        limit: requests that may be in flight.
        connections: of the pool, by the states of ``CONNECTION_STATES``.
        opened: connections opened since the beginning.
        uncommitted: results that the ledger does not hold yet.
    """

    in_flight: int = 0
    waiting: int = 0
    limit: int = 0
    connections: Mapping[str, int] = {}
    opened: int = 0
    uncommitted: int = 0


class Position(NamedTuple):
    """A line of an input; *input* is None where there is only one."""

    line: int
    input: str | None = None


class Pause(NamedTuple):
    """A pause that lasts: why, and since when on the tally's clock."""

    detail: str
    since: float


class Tally:
    """Counts of a run; an Observer.

    Attributes:
        earlier: records by outcome that earlier runs on the same ledger have brought to their end; set from outside.
        resumed: of those, how many lines this run has met.
        passed: records that are done without an outcome, as nothing is sent; set from outside.
        commit_seconds: how long the ledger's commits took.
        gauges: asks for the present state; set by whoever builds the run.
        slots: places for requests; set likewise.
        slot_seconds: asks for how many seconds they have spent in each state (``core/slots``); likewise.
        input_size: bytes of all inputs as they lie on disk, where that is known beforehand; set from outside.
        input_read: asks how many of those bytes were read; set by whoever builds the run, as lines tell it neither of
            compressed inputs nor where blank ones and line ends were left out.
        attempt_seconds: durations of attempts per verdict; their totals are the attempts.
        record_seconds: time from read to result per outcome; their totals are the records.
        faults: per code and action (``FAULT_CODES``, ``FAULT_ACTIONS``).
        pauses: those that last, by reason.
        draining: why reading has stopped for good, or None.
        doubtful: the first ``DOUBTFUL`` records that ended in doubt.
        started, last_progress, ended: on the monotonic *clock*; None until it comes to that.
        completion: exit code and wall time of the end, once it was reached.
        takes: what counts an event, by its type.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self.gauges: Callable[[], Gauges] = Gauges
        self.slots = 0
        self.slot_seconds: Callable[[], Mapping[str, float]] = dict
        self.started = clock()
        self.started_wall = wall()
        self.last_progress: float | None = None
        self.ended: float | None = None
        self.completion: tuple[int, float] | None = None

        self.earlier: Mapping[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.resumed = 0
        self.passed = 0
        self.commit_seconds = Latency()
        self.input_records = 0
        self.input_bytes = 0
        self.input_size: int | None = None
        self.input_read: Callable[[], int] = lambda: self.input_bytes + self.input_records
        self.attempt_seconds = {verdict: Latency() for verdict in Verdict}
        self.record_seconds = {outcome: Latency() for outcome in Outcome}
        self._accepted = self.attempt_seconds[Verdict.ACCEPTED]
        self._delivered_seconds = self.record_seconds[Outcome.DELIVERED]
        self.http_responses = dict.fromkeys(HTTP_CODES, 0)
        self.faults = {(code, action): 0 for code in FAULT_CODES for action in FAULT_ACTIONS}
        self.retries = dict.fromkeys(RETRY_REASONS, 0)
        self.request_bytes = 0
        self.response_bytes = 0
        self.mismatches = 0
        self.logins = dict.fromkeys(LOGIN_RESULTS, 0)
        self.pauses: dict[str, Pause] = {}
        self.draining: str | None = None
        self.doubtful: list[Position] = []
        self.loop_lag = Latency()
        self.problems = Problems()

        self._open_faults: dict[int, str] = {}  # by line: the fault's code, until it is known what came of it
        self.takes: dict[type[Event], Callable[[Any], None]] = {
            RecordRead: self._record_read,
            AttemptEnded: self._attempt_ended,
            RetryScheduled: self._retry_scheduled,
            RecordEnded: self._record_ended,
            Delivered: self._delivered,
            Paused: self._paused,
            Resumed: self._resumed,
            LoggedIn: self._logged_in,
            Draining: self._draining,
            Committed: self._committed,
            RecordResumed: self._record_resumed,
        }

    def notice(self, event: Event, /) -> None:
        """Count *event*; what is no count, such as a new limit, is passed over."""
        take = self.takes.get(type(event))
        if take is not None:
            take(event)

    def end(self, exit_code: int) -> None:
        """The run is over; its clock stops here."""
        self.ended = self._clock()
        self.completion = (exit_code, self._wall())

    @property
    def seconds(self) -> float:
        """How long the run has lasted, up to its end."""
        return (self._clock() if self.ended is None else self.ended) - self.started

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Records ended, by outcome."""
        return {outcome: latency.total for outcome, latency in self.record_seconds.items()}

    @property
    def all_outcomes(self) -> dict[Outcome, int]:
        """Records ended by outcome, those of earlier runs on the same ledger included."""
        return {outcome: count + self.earlier.get(outcome, 0) for outcome, count in self.outcomes.items()}

    @property
    def records(self) -> int:
        """Records ended, whatever came of them."""
        return sum(latency.total for latency in self.record_seconds.values())

    @property
    def done(self) -> int:
        """Records with which nothing is left to do: those that have ended, and those that were only looked at."""
        return self.records + self.passed

    @property
    def attempts(self) -> dict[Verdict, int]:
        """Attempts ended, by verdict."""
        return {verdict: latency.total for verdict, latency in self.attempt_seconds.items()}

    @property
    def paused(self) -> dict[str, bool]:
        """Whether sending rests, by each reason there can be."""
        return {reason: reason in self.pauses for reason in PAUSE_REASONS}

    @property
    def breaker_open(self) -> bool:
        """Whether the service counts as out of order."""
        return "outage" in self.pauses

    def wall_time(self, instant: float) -> float:
        """An instant of the monotonic clock as seconds since 1970."""
        return self.started_wall + (instant - self.started)

    def now(self) -> float:
        """The present instant on the monotonic clock."""
        return self._clock()

    def _record_read(self, event: RecordRead) -> None:
        self.input_records += event.records
        self.input_bytes += event.size

    def _attempt_ended(self, event: AttemptEnded) -> None:
        line, judgement, status, seconds, request_bytes, response_bytes, ordinal, source = event
        self.attempt_seconds[judgement.verdict].observe(seconds)
        self.request_bytes += request_bytes
        self.response_bytes += response_bytes
        if status is not None:
            self.http_responses[_CODES.get(status, "other")] += 1
        if judgement.problem is not None:
            self.problems.attempt(line, source, judgement.problem)
            if judgement.problem.fault_code is not None:
                self._fault(ordinal, judgement.problem.fault_code, judgement)

    def _fault(self, ordinal: int, told_code: str, judgement: Judgement) -> None:
        # A code may be qualified further by the service, as in Client.Authentication.
        code = _FAULT_CODES.get(told_code.partition(".")[0], "other")
        action = _SETTLED_AT_ONCE.get(judgement.verdict)
        if action is not None:
            self.faults[code, action] += 1
            return
        self._open_faults[ordinal] = code

    def _settle_fault(self, ordinal: int, action: str) -> None:
        code = self._open_faults.pop(ordinal, None)
        if code is not None:
            self.faults[code, action] += 1

    def _retry_scheduled(self, event: RetryScheduled) -> None:
        self.retries[event.reason] += 1
        self._settle_fault(event.ordinal, "retried")

    def _delivered(self, event: Delivered) -> None:
        result, status, seconds, request_bytes, response_bytes = event
        self._accepted.observe(seconds)
        self._delivered_seconds.observe(result.seconds)
        self.http_responses[_CODES.get(status, "other")] += 1
        self.request_bytes += request_bytes
        self.response_bytes += response_bytes
        self.last_progress = self._clock()
        if result.mismatch:
            self.mismatches += 1

    def _record_ended(self, event: RecordEnded) -> None:
        result = event.result
        self.record_seconds[result.outcome].observe(result.seconds)
        self.last_progress = self._clock()
        if result.mismatch:
            self.mismatches += 1
        if result.outcome is Outcome.IN_DOUBT and len(self.doubtful) < DOUBTFUL:
            self.doubtful.append(Position(result.line, result.input))
        if result.problem is not None:
            self._settle_fault(result.ordinal, "final")
            # A drain leaves thousands of records unsent, all for one reason: that is no problem of theirs.
            if result.outcome is not Outcome.UNSENT:
                self.problems.record(result, result.problem)

    def _paused(self, event: Paused) -> None:
        self.pauses[event.reason] = Pause(event.detail, self._clock())

    def _resumed(self, event: Resumed) -> None:
        self.pauses.pop(event.reason, None)

    def _logged_in(self, event: LoggedIn) -> None:
        self.logins[event.result] += 1

    def _committed(self, event: Committed) -> None:
        self.commit_seconds.observe(event.seconds)

    def _record_resumed(self, _event: RecordResumed) -> None:
        self.resumed += 1

    def _draining(self, event: Draining) -> None:
        if self.draining is None:
            self.draining = event.reason
