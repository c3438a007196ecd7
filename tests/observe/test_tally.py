from __future__ import annotations

import pytest

from batcher.core.events import (
    AttemptEnded,
    Draining,
    LimitChanged,
    LoggedIn,
    Paused,
    RecordEnded,
    Resumed,
    RetryScheduled,
)
from batcher.core.result import Result
from batcher.core.verdict import Judgement, Outcome, Problem, Verdict
from batcher.observe.problems import GROUPS_LIMIT
from batcher.observe.tally import FAULT_ACTIONS, FAULT_CODES, HTTP_CODES, Gauges, Tally


def attempt(
    line: int, verdict: Verdict, status: int | None = 500, code: str | None = "Server", ordinal: int | None = None
) -> AttemptEnded:
    problem = Problem("server_fault", "it failed", None, code, status)
    return AttemptEnded(line, Judgement(verdict, problem=problem), status, 0.1, 10, 10, ordinal or line)


def ended(line: int, outcome: Outcome, problem: Problem, source: str | None = None) -> RecordEnded:
    return RecordEnded(Result(line, outcome, None, 1, 0.1, "0" * 16, problem=problem, input=source, ordinal=line))


def nonzero(faults: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {labels: count for labels, count in faults.items() if count}


def test_every_label_value_is_there_from_the_beginning(tally: Tally) -> None:
    """Before anything happens all values of the closed sets stand at 0."""
    assert tally.outcomes == dict.fromkeys(Outcome, 0)
    assert tally.attempts == dict.fromkeys(Verdict, 0)
    assert tally.retries == dict.fromkeys(set(Verdict) - {Verdict.ACCEPTED, Verdict.REFUSED}, 0)
    assert tally.http_responses == dict.fromkeys(HTTP_CODES, 0)
    assert tally.faults == {(code, action): 0 for code in FAULT_CODES for action in FAULT_ACTIONS}
    assert tally.logins == {"success": 0, "refused": 0, "failed": 0}
    assert tally.paused == {"outage": False, "throttled": False, "session": False}
    assert tally.gauges() == Gauges()
    assert (tally.last_progress, tally.completion, tally.breaker_open) == (None, None, False)


def test_a_run_is_counted(told: Tally) -> None:
    """Each record once by outcome, each attempt once by verdict, and bytes, answers, retries and logins as told."""
    assert told.outcomes == {"delivered": 2, "rejected": 1, "invalid": 1, "in_doubt": 1, "unsent": 1}
    assert told.records == 6
    assert {verdict: count for verdict, count in told.attempts.items() if count} == {
        "accepted": 2, "faulted": 2, "uncertain": 1, "no_session": 1, "throttled": 1,
    }  # fmt: skip
    assert {code: count for code, count in told.http_responses.items() if count} == {"200": 2, "500": 3, "503": 1}
    assert {reason: count for reason, count in told.retries.items() if count} == {
        "faulted": 1, "no_session": 1, "throttled": 1,
    }  # fmt: skip
    assert nonzero(told.faults) == {("Server", "retried"): 1, ("Server", "final"): 1, ("Client", "session"): 1}
    assert (told.input_records, told.input_bytes) == (7, 700)
    assert (told.request_bytes, told.response_bytes) == (9100, 3550)
    assert (told.mismatches, told.logins["success"]) == (1, 1)
    assert told.attempt_seconds[Verdict.ACCEPTED].sum == pytest.approx(0.06)
    assert told.record_seconds[Outcome.DELIVERED].sum == pytest.approx(0.53)


def test_time_stops_at_the_end(told: Tally, now: list[float]) -> None:
    """Progress is the instant of the last outcome; the run's seconds stand still once it ended."""
    assert told.last_progress == 108.0
    assert told.seconds == 10.0
    told.end(6)
    now[0] += 50
    assert told.seconds == 10.0
    assert told.completion == (6, told.wall_time(110.0))


def test_answers_with_odd_codes_count_as_other(tally: Tally) -> None:
    """A status outside the closed set is ``other``; an attempt without an answer is no response."""
    for status in (302, 418, 204, None):
        tally.notice(attempt(1, Verdict.UNCERTAIN, status, None))
    assert tally.http_responses["other"] == 3
    assert sum(tally.http_responses.values()) == 3


@pytest.mark.parametrize(
    ("told_code", "code"),
    [
        ("Client", "Client"),
        ("Sender", "Client"),
        ("Receiver", "Server"),
        ("Client.Authentication", "Client"),
        ("MustUnderstand", "MustUnderstand"),
        ("Deadlock", "other"),
        ("", "other"),
    ],
)
def test_fault_codes_are_told_from_a_closed_set(tally: Tally, told_code: str, code: str) -> None:
    """SOAP 1.2 names, qualified and custom codes map to the five labels."""
    tally.notice(attempt(1, Verdict.MISDIRECTED, code=told_code))
    assert nonzero(tally.faults) == {(code, "other"): 1}


def test_faults_count_by_what_came_of_them(tally: Tally) -> None:
    """A fault is counted once: when its record is sent again, or ends, or at once where it tells of the run."""
    problem = Problem("server_fault", "it failed", None, "Server", 500)
    tally.notice(attempt(1, Verdict.FAULTED))
    assert nonzero(tally.faults) == {}
    tally.notice(RetryScheduled(1, Verdict.FAULTED, 1.0, 1))
    tally.notice(attempt(1, Verdict.FAULTED))
    tally.notice(ended(1, Outcome.REJECTED, problem))
    tally.notice(attempt(2, Verdict.NO_SESSION))
    tally.notice(RetryScheduled(2, Verdict.NO_SESSION, 0.0, 2))
    tally.notice(attempt(3, Verdict.THROTTLED))
    assert nonzero(tally.faults) == {
        ("Server", "retried"): 1, ("Server", "final"): 1, ("Server", "session"): 1, ("Server", "other"): 1,
    }  # fmt: skip


def test_lines_with_one_number_lose_no_fault(tally: Tally) -> None:
    """Two inputs have the same line numbers: the fault of each record is counted as what came of that record."""
    problem = Problem("server_fault", "it failed", None, "Server", 500)
    tally.notice(attempt(1, Verdict.FAULTED))
    tally.notice(attempt(1, Verdict.FAULTED, ordinal=8))
    tally.notice(RetryScheduled(1, Verdict.FAULTED, 1.0, 8))
    tally.notice(ended(1, Outcome.REJECTED, problem))
    assert nonzero(tally.faults) == {("Server", "retried"): 1, ("Server", "final"): 1}


def test_pauses_come_and_go(tally: Tally, now: list[float]) -> None:
    """A pause holds from its beginning to its end, each reason for itself; an outage is the open breaker."""
    tally.notice(Paused("outage", "connection refused", None))
    now[0] += 3
    tally.notice(Paused("throttled", "503", 10.0))
    assert tally.paused == {"outage": True, "throttled": True, "session": False}
    assert tally.breaker_open
    assert tally.pauses["outage"] == ("connection refused", 100.0)
    tally.notice(Resumed("outage", 3.0))
    assert tally.paused == {"outage": False, "throttled": True, "session": False}
    assert not tally.breaker_open


def test_logins_and_draining_are_told(tally: Tally) -> None:
    """Logins count by result; the first reason to drain is kept; a new limit is no count."""
    for event in (LoggedIn("refused", "wrong password"), LoggedIn("failed", "503"), LoggedIn("failed", "503")):
        tally.notice(event)
    tally.notice(Draining("SIGTERM"))
    tally.notice(Draining("stop rule"))
    tally.notice(LimitChanged(3))
    assert tally.logins == {"success": 0, "refused": 1, "failed": 2}
    assert tally.draining == "SIGTERM"


def test_problems_are_grouped_by_what_they_say(told: Tally) -> None:
    """Attempts and records with one text but for its values make one group, those that cost records first."""
    groups = told.problems.top(10)
    assert [(group.kind, group.attempts, group.records, group.example.line) for group in groups] == [
        ("server_fault", 2, 1, 4),
        ("bad_datetime", 0, 1, 3),
        ("timeout", 1, 1, 5),
        ("client_fault", 1, 0, 6),
        ("http_error", 1, 0, 6),
    ]
    assert groups[0].fingerprint.endswith("---> Transaction (Process ID #) was deadlocked")
    assert groups[0].example.gist == "Transaction (Process ID 4) was deadlocked"
    assert groups[1].fingerprint == "RemoteTimeStamp: '#' is no date"
    assert groups[1].example.text == "RemoteTimeStamp: '2024-13-01' is no date"
    assert told.problems.top(1) == groups[:1]


def test_answers_of_different_statuses_are_different_problems(tally: Tally) -> None:
    """One record that is refused with 400 is not told of with all that got a 503; other numbers are values."""
    for line, status in enumerate((503, 503, 400, 302, 302), 1):
        text = f"HTTP {status} to /login/{line}" if status == 302 else f"HTTP {status} with an empty body"
        tally.notice(ended(line, Outcome.REJECTED, Problem("http_error", text, http_status=status)))
    tally.notice(ended(6, Outcome.REJECTED, Problem("http_error", "HTTP 12 and 13", http_status=500)))
    assert [(group.fingerprint, group.records) for group in tally.problems.top(10)] == [
        ("HTTP 503 with an empty body", 2),
        ("HTTP 302 to /login/#", 2),
        ("HTTP 400 with an empty body", 1),
        ("HTTP # and #", 1),
    ]


def test_a_problem_names_its_input(tally: Tally) -> None:
    """Where there are several inputs the example says which one it is in."""
    tally.notice(ended(1234, Outcome.INVALID, Problem("not_utf8", "no UTF-8"), "b.ndjson"))
    assert tally.problems.top(1)[0].example.where == "line 1,234 of b.ndjson"


def test_a_problem_of_attempts_alone_names_its_input(tally: Tally) -> None:
    """The record may be delivered in the end, so that no result line ever names it."""
    tally.notice(attempt(17, Verdict.FAULTED)._replace(input="b.ndjson"))
    group = tally.problems.top(1)[0]
    assert (group.attempts, group.records, group.example.where) == (1, 0, "line 17 of b.ndjson")


def test_problems_are_bounded(tally: Tally) -> None:
    """A service that never says the same twice fills 200 groups and an ``other`` for each kind; none is lost."""
    words = [f"{first}{second}" for first in "abcdefghijklmnopqrst" for second in "abcdefghijklmnopqrst"]
    for line, word in enumerate(words, 1):
        tally.notice(ended(line, Outcome.REJECTED, Problem("server_fault", f"no {word}")))
    tally.notice(ended(1000, Outcome.INVALID, Problem("not_utf8", "no UTF-8")))
    groups = tally.problems.top(1000)
    assert len(groups) == GROUPS_LIMIT + 2
    assert (groups[0].fingerprint, groups[0].count) == ("other", len(words) - GROUPS_LIMIT)
    assert sum(group.records for group in groups) == len(words) + 1
