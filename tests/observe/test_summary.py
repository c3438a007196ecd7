from __future__ import annotations

import orjson
import pytest

from batcher.core.events import RecordEnded
from batcher.core.result import Result
from batcher.core.slots import STATES
from batcher.core.verdict import Outcome, Problem
from batcher.observe.closing import ENDINGS, slots_sentence
from batcher.observe.summary import Percentiles, Summary
from batcher.observe.tally import Position, Tally


def summary_of(told: Tally) -> Summary:
    told.end(6)
    told.slots = 64
    told.slot_seconds = lambda: {"server": 454.4, "input": 128.0, "ledger": 57.6, "connect": 0.0}
    return Summary.of(
        told,
        exit_code=6,
        reason="SIGTERM",
        endpoint="acme.worketc.com",
        files={"results": "./out.ndjson", "rejects": "./rejects.ndjson"},
        read_through=Position(7, "a.ndjson"),
        notes=["Records with id 0 were sent without a ledger."],
    )


def test_the_summary_as_json(told: Tally) -> None:
    """Programs find each number of the run under its name; what is not there is null."""
    summary = orjson.loads(orjson.dumps(summary_of(told).to_json()))
    problems = summary.pop("problems")
    percentiles = summary.pop("request_seconds"), summary.pop("record_seconds")
    for name in ("http", "faults", "attempts", "retries"):
        summary[name] = {key: value for key, value in summary[name].items() if value not in (0, {})}
    assert summary == {
        "exit_code": 6,
        "reason": "SIGTERM",
        "endpoint": "acme.worketc.com",
        "started": "2023-11-14T22:13:20+00:00",
        "seconds": 10.0,
        "records": 6,
        "resumed": 0,
        "records_per_second": 0.6,
        "input": {"records": 7, "bytes": 700},
        "outcomes": {"delivered": 2, "rejected": 1, "invalid": 1, "in_doubt": 1, "unsent": 1},
        "attempts": {"total": 7, "accepted": 2, "faulted": 2, "throttled": 1, "no_session": 1, "uncertain": 1},
        "retries": {"total": 3, "faulted": 1, "throttled": 1, "no_session": 1},
        "http": {"200": 2, "500": 3, "503": 1},
        "faults": {
            "Client": {"retried": 0, "final": 0, "session": 1, "other": 0},
            "Server": {"retried": 1, "final": 1, "session": 0, "other": 0},
            "VersionMismatch": dict.fromkeys(("retried", "final", "session", "other"), 0),
            "MustUnderstand": dict.fromkeys(("retried", "final", "session", "other"), 0),
            "other": dict.fromkeys(("retried", "final", "session", "other"), 0),
        },
        "logins": {"success": 1, "refused": 0, "failed": 0},
        "mismatches": 1,
        "slots": 64,
        "slot_seconds": {"server": 454.4, "input": 128.0, "ledger": 57.6, "connect": 0.0},
        "files": {"results": "./out.ndjson", "rejects": "./rejects.ndjson"},
        "read_through": {"line": 7, "input": "a.ndjson"},
        "notes": ["Records with id 0 were sent without a ledger."],
    }
    assert problems[0] == {
        "kind": "server_fault",
        "fingerprint": "Server was unable to process request. ---> Transaction (Process ID #) was deadlocked",
        "count": 2,
        "attempts": 2,
        "records": 1,
        "line": 4,
        "input": None,
        "example": "Server was unable to process request. ---> Transaction (Process ID 4) was deadlocked",
    }
    # Attempts: 10, 10, 20, 40, 300, 300 ms, 120 s. Records that were asked about: 30, 400, 500 ms, 120.5 s.
    assert percentiles[0] == pytest.approx({"p50": 0.04, "p95": 120, "p99": 120, "largest": 120}, rel=0.011)
    assert percentiles[1] == pytest.approx({"p50": 0.4, "p95": 120.5, "p99": 120.5, "largest": 120.5}, rel=0.011)


def test_the_summary_for_people(told: Tally) -> None:
    """The closing text has counts, rate, percentiles, problems with a line to look at, files, and what to do next."""
    told.input_records = 12_007
    for line in range(100, 12_100):
        told.notice(RecordEnded(Result(line, Outcome.DELIVERED, None, 1, 0.03, "0" * 16)))
    assert summary_of(told).to_text() == TEXT


TEXT = """\
veetro-batch interrupted and drained (exit 6): SIGTERM
12,006 records in 10.0 s, 1,201 a second, acme.worketc.com

  delivered           12,002    99.96%
  rejected                 1    <0.01%
  invalid                  1    <0.01%
  in doubt                 1    <0.01%
  unsent                   1    <0.01%
  not finished             1    <0.01%

  7 attempts, of which to be repeated: faulted 1, throttled 1, no session 1
  logins: success 1
                       p50       p95       p99   longest
  request          40.0 ms     119 s     119 s     120 s
  read to result   30.3 ms   30.3 ms   30.3 ms     120 s
  Of 64 slots, 71% waited for the service, 20% for records to send (the input),
  9% for the ledger.

  Most frequent problems
  - server_fault: 1 record, 2 attempts, such as line 4
      Transaction (Process ID 4) was deadlocked
  - bad_datetime: 1 record, such as line 3
      RemoteTimeStamp: '2024-13-01' is no date
  - timeout: 1 record, such as line 5
      no answer within 120 s
  - client_fault: 1 attempt, such as line 6
      session expired
  - http_error: 1 attempt, such as line 6
      503

  results   ./out.ndjson
  rejects   ./rejects.ndjson

  * 1 answer carries another key than was sent: compare the records marked
    "mismatch" in the results with the service.
  * 1 record may have been applied, or not: look in the service before sending
    again.
  * 2 records were not accepted: they are in ./rejects.ndjson with the reason;
    correct and submit them.
  * 1 record was read but not sent, nothing of it was applied: submit again.
  * Read up to line 7 of a.ndjson: nothing after it was sent.
  * Records with id 0 were sent without a ledger.
"""


def test_the_text_fits_a_terminal(tally: Tally) -> None:
    """However large the numbers and long the texts are, no line is wider than 80 columns."""
    message = "Server was unable to process request. ---> " + "a word and another " * 100
    for line in range(1, 30):
        problem = Problem("server_fault", f"{message[: 200 + line]}", None, "Server", 500)
        tally.notice(RecordEnded(Result(10**9 + line, Outcome.REJECTED, None, 1, 1.0, "0" * 16, problem=problem)))
    for latency in (*tally.record_seconds.values(), *tally.attempt_seconds.values()):
        latency.observe(5000.0)
        latency.counts[-1] += 10**9
        latency.total += 10**9
    tally.retries = dict.fromkeys(tally.retries, 10**9)
    tally.mismatches = 10**9
    text = Summary.of(tally, exit_code=7, reason="word " * 50, endpoint="h" * 40, notes=["note " * 40]).to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "1,000,000,001" in text


def test_a_clean_run_says_little(tally: Tally) -> None:
    """Without problems there is no list of them, and nothing is left to do."""
    tally.notice(RecordEnded(Result(1, Outcome.DELIVERED, None, 1, 0.03, "0" * 16)))
    text = Summary.of(tally, exit_code=0).to_text()
    assert text.startswith("veetro-batch finished (exit 0)\n1 record in ")
    assert "problems" not in text
    assert "*" not in text


def test_rejects_are_offered_where_there_is_no_file(tally: Tally) -> None:
    """Where records were refused and no rejects file was asked for, the text says how to get one."""
    problem = Problem("not_utf8", "no UTF-8")
    tally.notice(RecordEnded(Result(1, Outcome.INVALID, None, 0, 0.0, "0" * 16, problem=problem)))
    text = Summary.of(tally, exit_code=3).to_text()
    assert "1 record was not accepted" in text
    assert "--rejects PATH" in text


def test_texts_from_outside_stay_one_line(tally: Tally) -> None:
    """A reason or note that carries a stranger's line breaks and escapes cannot break the view."""
    summary = Summary.of(tally, exit_code=7, reason="a\n\x1b[2Jb", notes=["c\r\nd"])
    assert (summary.reason, summary.notes) == ("a [2Jb", ("c d",))


def test_every_exit_code_has_its_words() -> None:
    """The ten exit codes, and a run that lasts, are each named."""
    assert set(ENDINGS) == {None, *range(10)}
    assert len(set(ENDINGS.values())) == 11


def test_no_durations_are_no_percentiles() -> None:
    """Where nothing was measured, nothing is claimed."""
    assert Percentiles.of([]).to_json() == {"p50": None, "p95": None, "p99": None, "largest": None}


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        (
            {"input": 128.0, "server": 454.4, "ledger": 57.6, "connect": 0.1},
            "Of 64 slots, 71% waited for the service, 20% for records to send (the input), 9% for the ledger.",
        ),
        ({"server": 90.0, "read": 10.0}, "Of 64 slots, 90% waited for the service, 10% read answers."),
        ({"read": 10.0}, "Of 64 slots, 100% read answers."),
        ({"server": 0.0}, ""),
        ({}, ""),
    ],
)
def test_a_sentence_says_where_the_time_went(seconds: dict[str, float], sentence: str) -> None:
    """The largest share first, shares that round to nothing left out; work on answers is no wait."""
    assert slots_sentence(64, seconds) == sentence


def test_the_sentence_has_words_for_every_state() -> None:
    """No state is left out for want of words."""
    assert slots_sentence(64, dict.fromkeys(STATES, 1.0)).count("9%") == len(STATES)
