"""What came of one input line, as a value and as one line of NDJSON."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import orjson

from batcher.core.verdict import Outcome, Problem

Key: TypeAlias = "str | int | list[str | int | None] | None"

_DELIVERED = Outcome.DELIVERED
_NOTHING_ELSE = (None, None, None, False, None, None)
"""From ``Result.problem`` to ``Result.settled``: what nearly every delivered record has there."""

_LF = b"\n"
"""Added and not asked of orjson, because adding makes a copy: what orjson 3.13 gives holds up to ten times its length
in memory, and lines wait for the ledger by the hundred."""

RAW_LIMIT = 64 * 1024
"""Bytes of a line that a rejects line quotes at most."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the last result line of a record said, which is sent or settled once more.

    Attributes:
        line: the physical line that it was.
        outcome: what had come of it.
        kind: of its problem.
        message: of its problem.
        attempts: requests made for it until then.
        input: the name of its input, where there were several.
        offset: bytes into its input at which it begins, where lines are counted from the middle of a file.
        settled: ``not_applied``, where a person has said that the requests that were in doubt were not applied.
    """

    line: int
    outcome: Outcome
    kind: str
    message: str
    attempts: int
    input: str | None = None
    offset: int | None = None
    settled: str | None = None

    @classmethod
    def of(cls, members: dict[str, Any]) -> Origin:
        """From the members of a result or rejects line of a record that was not delivered.

        Raises:
            KeyError, TypeError, ValueError: it is no such line.
        """
        error, name, offset = members["error"], members.get("input"), members.get("offset")
        if Outcome(members["outcome"]) is Outcome.DELIVERED or not isinstance(members["line"], int):
            raise ValueError
        return cls(
            line=members["line"],
            outcome=Outcome(members["outcome"]),
            kind=str(error["kind"]),
            message=str(error["message"]),
            attempts=int(members["attempts"]),
            input=None if name is None else str(name),
            offset=None if offset is None else int(offset),
        )

    @classmethod
    def read(cls, text: str) -> Origin:
        """From what ``write`` has made."""
        members = orjson.loads(text)
        return cls(**{**members, "outcome": Outcome(members["outcome"])})

    def write(self) -> str:
        """All of it, as JSON."""
        return orjson.dumps(self).decode()

    @property
    def doubt(self) -> Problem | None:
        """Why it may have been applied; None where it certainly was not, or a person has said so."""
        if self.outcome is Outcome.IN_DOUBT and self.settled is None:
            return Problem(self.kind, self.message)
        return None

    def members(self) -> dict[str, object]:
        """The ``origin`` member of a result line."""
        found = {
            "line": self.line,
            "input": self.input,
            "offset": self.offset,
            "outcome": self.outcome.value,
            "kind": self.kind,
            "settled": self.settled,
        }
        return {name: value for name, value in found.items() if value is not None}


class Result(NamedTuple):
    """The one answer that every input line gets.

    Attributes:
        line: the physical line within its input, from 1.
        outcome: what came of it.
        key: the value of the order key's field, a list for several fields, None where it has none.
        attempts: requests made for it, whatever became of them.
        seconds: from reading the line to this result.
        hash: ``blake2b(line, digest_size=8)`` in hexadecimal.
        fields: the answer's fields as one JSON object, for delivered records; else empty.
        problem: why it was not delivered.
        input: the name of its input, where there are several.
        offset: bytes into its input at which the line begins, where lines are counted from the middle of a file.
        mismatch: the answer's key is not the one that was sent.
        origin: what had come of it before, where it was sent or settled once more.
        settled: ``applied``, where not the service but a person has said so.
        ordinal: its number among all records of the run, which the result line does not show.
        raw: the line itself.
        truncated: *raw* is only the beginning of the line.
        standing: nothing final: it is in doubt and may be sent again, but the run has ended first. The ledger keeps its
            intent and takes no outcome, so the next run sends it; this run counts it as in doubt.
    """

    line: int
    outcome: Outcome
    key: Key
    attempts: int
    seconds: float
    hash: str
    fields: bytes = b""
    problem: Problem | None = None
    input: str | None = None
    offset: int | None = None
    mismatch: bool = False
    origin: Origin | None = None
    settled: str | None = None
    ordinal: int = 0
    raw: bytes = b""
    truncated: bool = False
    standing: bool = False

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer's fields in Python's types; None where the record was not delivered."""
        return orjson.loads(self.fields) if self.fields else None

    def to_json(self) -> bytes:
        """The result line, with its LF."""
        # Nearly all lines, for less than the members cost one by one.
        line, outcome, key, attempts, seconds, digest, fields = self[:7]
        if outcome is _DELIVERED and fields and self[7:13] == _NOTHING_ELSE:
            members = {
                "line": line,
                "outcome": "delivered",
                "key": key,
                "attempts": attempts,
                "seconds": _rounded(seconds),
                "hash": digest,
                "result": orjson.Fragment(fields),
            }
            return orjson.dumps(members) + _LF
        return orjson.dumps(self._members()) + _LF

    def to_reject(self) -> bytes:
        """The line for the rejects file: the result line and the record, with its LF."""
        return orjson.dumps(self._members() | _quote(self.raw, truncated=self.truncated)) + _LF

    def _members(self) -> dict[str, object]:
        members: dict[str, object] = {"line": self.line}
        if self.input is not None:
            members["input"] = self.input
        if self.offset is not None:
            members["offset"] = self.offset
        members["outcome"] = self.outcome.value
        members["key"] = self.key
        members["attempts"] = self.attempts
        members["seconds"] = _rounded(self.seconds)
        members["hash"] = self.hash
        if self.mismatch:
            members["mismatch"] = True
        if self.fields:
            members["result"] = orjson.Fragment(self.fields)
        if self.problem is not None:
            members["error"] = describe(self.problem)
        if self.settled is not None:
            members["settled"] = self.settled
        if self.origin is not None:
            members["origin"] = self.origin.members()
        return members


def _rounded(seconds: float) -> float:
    """*seconds* to a tenth of a millisecond; ``round``, which goes through the digits of a text, costs much more."""
    return int(seconds * 10_000 + 0.5) / 10_000


def describe(problem: Problem) -> dict[str, object]:
    """The ``error`` member of a result line: ``kind`` and ``message`` always, the rest where it exists."""
    error: dict[str, object] = {"kind": problem.kind}
    if problem.field is not None:
        error["field"] = problem.field
    error["message"] = problem.message
    if problem.fault_code is not None:
        error["fault_code"] = problem.fault_code
    if problem.http_status is not None:
        error["http_status"] = problem.http_status
    return error


def _quote(raw: bytes, *, truncated: bool) -> dict[str, object]:
    """How a rejects line carries the input line: as JSON where it is JSON, else as text, else as Base64."""
    cut = truncated or len(raw) > RAW_LIMIT
    if not cut:
        try:
            orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass
        else:
            return {"record": orjson.Fragment(raw)}
    quoted = raw[:RAW_LIMIT]
    mark: dict[str, object] = {"truncated": True} if cut else {}
    try:
        return {"raw": quoted.decode()} | mark
    except UnicodeDecodeError as error:
        # A cut in the middle of a character does not make the text unreadable: leave the character out.
        if cut and error.start > len(quoted) - 4 and error.reason == "unexpected end of data":
            return {"raw": quoted[: error.start].decode()} | mark
    return {"raw_base64": binascii.b2a_base64(quoted, newline=False).decode()} | mark
