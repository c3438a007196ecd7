"""The words for what came of an attempt (verdict) and of a record (outcome)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What one attempt means. The values are label values of metrics."""

    ACCEPTED = "accepted"
    """The operation's result came back."""
    REFUSED = "refused"
    """A Client or Sender fault, 400, 413: the record will never be taken as it is."""
    FAULTED = "faulted"
    """A Server or Receiver fault, or a code that we do not know: it may be the record, a deadlock or a bug."""
    THROTTLED = "throttled"
    """429 or 503: turned away unread."""
    NO_SESSION = "no_session"
    """The session is gone: turned away unread."""
    MISDIRECTED = "misdirected"
    """The request went to the wrong place or in the wrong form: the run is set up wrongly, not the record."""
    NOT_SENT = "not_sent"
    """No connection: the whole request never left us."""
    UNCERTAIN = "uncertain"
    """Perhaps applied: no readable answer."""


class Outcome(StrEnum):
    """What came of a record in the end. The values are public: they stand in result lines and metrics."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    INVALID = "invalid"
    IN_DOUBT = "in_doubt"
    UNSENT = "unsent"


class Sample(StrEnum):
    """What the concurrency limit hears of an attempt."""

    SUCCESS = "success"
    IGNORE = "ignore"
    DROPPED = "dropped"
    """Lost, perhaps because of the load."""
    TURNED_AWAY = "turned_away"
    """Likewise, but surely not applied: such a loss costs no more than the way."""


INVALID_KINDS = (
    "malformed_json",
    "not_an_object",
    "line_too_long",
    "not_utf8",
    "duplicate_field",
    "unknown_field",
    "missing_field",
    "wrong_type",
    "out_of_range",
    "bad_datetime",
    "bad_enum",
    "illegal_character",
    "envelope_too_large",
)
REJECTED_KINDS = ("client_fault", "server_fault", "http_error")
IN_DOUBT_KINDS = ("timeout", "connection_lost", "unreadable_reply", "gateway", "crash")
UNSENT_KINDS = ("interrupted", "outage", "stopped", "order")


class Problem(NamedTuple):
    """Why a record was not delivered, or an attempt not accepted.

    Attributes:
        kind: from the closed set of its outcome (the tuples above).
        message: one line for people, capped.
        field: the field of an invalid record.
        fault_code: the fault's code without its prefix, such as ``Client`` or ``Server``.
        http_status: the status of the answer, where one came.
    """

    kind: str
    message: str
    field: str | None = None
    fault_code: str | None = None
    http_status: int | None = None


class Judgement(NamedTuple):
    """What an answer, or the lack of one, means.

    Attributes:
        verdict: the row of the table.
        sample: what the concurrency limit hears.
        result: the answer's fields as one JSON object, for ACCEPTED; else empty.
        key: the values of the order key's fields in the answer, None for an absent one; for ACCEPTED only.
        problem: what is wrong, for every verdict but ACCEPTED.
        transient: the fault's text says that the call was turned away and will pass (deadlock, busy).
        retry_after: seconds that the server asked us to wait, or None.
        readable: an answer of the service itself was read (it is alive, whatever it says).
    """

    verdict: Verdict
    sample: Sample = Sample.IGNORE
    result: bytes = b""
    key: tuple[str | None, ...] = ()
    problem: Problem | None = None
    transient: bool = False
    retry_after: float | None = None
    readable: bool = False
