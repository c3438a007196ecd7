"""What happens during a run, as values, for whoever wants to tell it: metrics, progress, logs, report.

The flow announces each event to one observer and never asks what became of it. An observer must not raise or block.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

from batcher.core.result import Result
from batcher.core.verdict import Judgement, Verdict


class RecordRead(NamedTuple):
    """Lines that are not blank were read, *records* of them; *size* is theirs in bytes, without their line ends."""

    size: int
    records: int = 1


class AttemptEnded(NamedTuple):
    """One request for a record ended, and was not accepted.

    Attributes:
        line: of the record.
        judgement: what it means; ``judgement.verdict`` is its row.
        status: the HTTP status, or None where no answer came.
        seconds: from the permit to the end of the answer.
        request_bytes: of the envelope, 0 where nothing left us.
        response_bytes: of the answer's body, decompressed.
        ordinal: the record's number among all of the run, which line numbers of several inputs are not.
        input: the name of the record's input, where there are several.
    """

    line: int
    judgement: Judgement
    status: int | None
    seconds: float
    request_bytes: int
    response_bytes: int
    ordinal: int
    input: str | None = None


class RetryScheduled(NamedTuple):
    """A record will be sent again; *reason* is the verdict of its last attempt, *delay* in seconds.

    *line*, *ordinal* and *input* are those of ``AttemptEnded``.
    """

    line: int
    reason: Verdict
    delay: float
    ordinal: int
    input: str | None = None


class RecordEnded(NamedTuple):
    """A record has its outcome, another one than delivered; see there."""

    result: Result


class Delivered(NamedTuple):
    """An attempt was accepted, and so its record is delivered: both at once, for nearly all attempts end so.

    Every line that is not blank ends exactly once, so or with ``RecordEnded``.

    Attributes:
        result: the record's.
        status: the HTTP status of the answer.
        seconds: from the permit to the end of the answer.
        request_bytes: of the envelope.
        response_bytes: of the answer's body, decompressed.
    """

    result: Result
    status: int
    seconds: float
    request_bytes: int
    response_bytes: int


class LimitChanged(NamedTuple):
    """The concurrency limit is now *limit* requests in flight."""

    limit: int


class Paused(NamedTuple):
    """Nothing is sent for now.

    Attributes:
        reason: from the closed set ``PAUSE_REASONS``.
        detail: what led to it, for people, capped.
        seconds: how long it will last, or None while unknown.
    """

    reason: str
    detail: str
    seconds: float | None


class Resumed(NamedTuple):
    """Sending goes on; *reason* is that of the pause, *seconds* how long it was."""

    reason: str
    seconds: float


class LoggedIn(NamedTuple):
    """A login ended: *result* is ``success``, ``refused`` or ``failed``; *detail* says why, for people."""

    result: str
    detail: str


class Draining(NamedTuple):
    """Reading has stopped for good; *reason* for people: a signal's name, a stop rule, an error."""

    reason: str


class Committed(NamedTuple):
    """The ledger made something durable: *records* outcomes, in *seconds*."""

    seconds: float
    records: int


class Unprotected(NamedTuple):
    """The first record that is not safe to send twice goes out without a ledger; told once a run."""

    line: int


class RecordResumed(NamedTuple):
    """A line was read that has its outcome from an earlier run; *size* in bytes, without its line end."""

    size: int


PAUSE_REASONS = ("outage", "throttled", "session")
LOGIN_RESULTS = ("success", "refused", "failed")

Event: TypeAlias = (
    RecordRead
    | AttemptEnded
    | RetryScheduled
    | RecordEnded
    | Delivered
    | LimitChanged
    | Paused
    | Resumed
    | LoggedIn
    | Draining
    | Committed
    | RecordResumed
    | Unprotected
)


class Observer(Protocol):
    """Hears every event of a run, on the event loop's thread."""

    def notice(self, event: Event, /) -> None:
        """Take note of *event*; called for each record several times, so quickly."""
