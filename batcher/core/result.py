"""What came of one input line, as a value and as one line of NDJSON."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from batcher.core.verdict import Outcome, Problem

Key: TypeAlias = "str | int | list[str | int | None] | None"

RAW_LIMIT = 64 * 1024
"""Bytes of a line that a rejects line quotes at most."""


@dataclass(frozen=True, slots=True)
class Result:
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
        ordinal: its number among all records of the run, which the result line does not show.
        raw: the line itself.
        truncated: *raw* is only the beginning of the line.
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
    ordinal: int = 0
    raw: bytes = b""
    truncated: bool = False

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer's fields in Python's types; None where the record was not delivered."""
        return orjson.loads(self.fields) if self.fields else None

    def to_json(self) -> bytes:
        """The result line, with its LF."""
        return orjson.dumps(self._members(), option=orjson.OPT_APPEND_NEWLINE)

    def to_reject(self) -> bytes:
        """The line for the rejects file: the result line and the record, with its LF."""
        return orjson.dumps(
            self._members() | _quote(self.raw, truncated=self.truncated), option=orjson.OPT_APPEND_NEWLINE
        )

    def _members(self) -> dict[str, object]:
        members: dict[str, object] = {"line": self.line}
        if self.input is not None:
            members["input"] = self.input
        if self.offset is not None:
            members["offset"] = self.offset
        members["outcome"] = self.outcome.value
        members["key"] = self.key
        members["attempts"] = self.attempts
        members["seconds"] = round(self.seconds, 4)
        members["hash"] = self.hash
        if self.mismatch:
            members["mismatch"] = True
        if self.fields:
            members["result"] = orjson.Fragment(self.fields)
        if self.problem is not None:
            members["error"] = describe(self.problem)
        return members


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
