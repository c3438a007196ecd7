from __future__ import annotations

import pytest

from batcher.core.events import AttemptEnded, Delivered, LoggedIn, RecordEnded, RecordRead, RetryScheduled
from batcher.core.result import Result
from batcher.core.verdict import Judgement, Outcome, Problem, Sample, Verdict
from batcher.observe.tally import Gauges, Tally
from tests.e2e.conftest import program

__all__ = ["program"]

STARTED_WALL = 1_700_000_000.0
DEADLOCK = "Server was unable to process request. ---> Transaction (Process ID {}) was deadlocked"


@pytest.fixture
def now() -> list[float]:
    """The monotonic clock of a fake run: one float, to be advanced by the test."""
    return [100.0]


@pytest.fixture
def tally(now: list[float]) -> Tally:
    """A tally that has heard nothing, on the fake clock."""
    return Tally(lambda: now[0], lambda: STARTED_WALL + (now[0] - 100.0))


@pytest.fixture
def told(tally: Tally, now: list[float]) -> Tally:
    """A tally that has heard of seven records in ten seconds; every number of it is known to the tests.

    1 delivered · 2 deadlocked, repeated, delivered with another's key · 3 invalid · 4 deadlocked, rejected ·
    5 timed out, in doubt · 6 lost session, throttled, unsent · 7 is read and open.
    """

    def faulted(line: int, verdict: Verdict = Verdict.FAULTED, code: str = "Server") -> Judgement:
        return Judgement(verdict, problem=Problem("server_fault", DEADLOCK.format(line), None, code, 500))

    def end(
        line: int, outcome: Outcome, seconds: float, problem: Problem | None = None, *, mismatch: bool = False
    ) -> RecordEnded:
        result = Result(
            line, outcome, f"S-{line}", 1, seconds, "0" * 16, problem=problem, mismatch=mismatch, ordinal=line
        )
        return RecordEnded(result)

    timeout = Problem("timeout", "no answer within 120 s")
    bad_date = Problem("bad_datetime", "'2024-13-01' is no date", field="RemoteTimeStamp")
    gone = Judgement(Verdict.NO_SESSION, problem=Problem("client_fault", "session expired", None, "Client", 500))
    busy = Judgement(Verdict.THROTTLED, Sample.DROPPED, problem=Problem("http_error", "503", http_status=503))
    tally.notice(LoggedIn("success", ""))
    for _ in range(7):
        tally.notice(RecordRead(100))
    for event in (
        Delivered(end(1, Outcome.DELIVERED, 0.03).result, 200, 0.02, 1300, 900),
        AttemptEnded(2, faulted(2), 500, 0.3, 1300, 600, 2),
        RetryScheduled(2, Verdict.FAULTED, 0.1, 2),
        Delivered(end(2, Outcome.DELIVERED, 0.5, mismatch=True).result, 200, 0.04, 1300, 900),
        end(3, Outcome.INVALID, 0.0, bad_date),
        AttemptEnded(4, faulted(4, code="Receiver"), 500, 0.3, 1300, 600, 4),
        end(4, Outcome.REJECTED, 0.4, faulted(4).problem),
        AttemptEnded(5, Judgement(Verdict.UNCERTAIN, Sample.DROPPED, problem=timeout), None, 120.0, 1300, 0, 5),
        end(5, Outcome.IN_DOUBT, 120.5, timeout),
        AttemptEnded(6, gone, 500, 0.01, 1300, 500, 6),
        RetryScheduled(6, Verdict.NO_SESSION, 0.0, 6),
        AttemptEnded(6, busy, 503, 0.01, 1300, 50, 6),
        RetryScheduled(6, Verdict.THROTTLED, 1.0, 6),
    ):
        tally.notice(event)
    now[0] += 8.0
    tally.notice(end(6, Outcome.UNSENT, 9.0, Problem("interrupted", "the run ended first")))
    now[0] += 2.0
    tally.gauges = lambda: Gauges(1, 2, 16, {"active": 1, "idle": 3}, 5)
    return tally
