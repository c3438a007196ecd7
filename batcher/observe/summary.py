"""What came of a run, as one value: while it lasts for ``/status``, at its end for people and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self

from batcher.core.fingerprint import display_name, one_line
from batcher.core.latency import Latency
from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed
from batcher.observe.closing import closing_text
from batcher.observe.problems import Example
from batcher.observe.tally import Position, Tally

PROBLEMS = 10
"""Groups of problems that a summary names."""

_ASKED = (Outcome.DELIVERED, Outcome.REJECTED, Outcome.IN_DOUBT)
"""Outcomes of records that the service was asked about: the others would only dilute the latency."""


class Percentiles(NamedTuple):
    """Of durations, in seconds; None where there were none."""

    p50: float | None
    p95: float | None
    p99: float | None
    largest: float | None

    @classmethod
    def of(cls, latencies: Iterable[Latency]) -> Self:
        """Of all *latencies* together."""
        merged = Latency()
        for latency in latencies:
            if latency.total:
                merged.add(latency)
        p50, p95, p99 = (merged.percentile(share) for share in (0.5, 0.95, 0.99))
        return cls(p50, p95, p99, merged.largest if merged.total else None)

    @classmethod
    def of_attempts(cls, tally: Tally) -> Self:
        """Request durations, whatever the answers meant."""
        return cls.of(tally.attempt_seconds.values())

    @classmethod
    def of_records(cls, tally: Tally) -> Self:
        """Time from read to result of those records that the service was asked about."""
        return cls.of(tally.record_seconds[outcome] for outcome in _ASKED)

    def to_json(self) -> dict[str, float | None]:
        """By name, to a microsecond."""
        return {name: None if value is None else round(value, 6) for name, value in self._asdict().items()}


class Trouble(NamedTuple):
    """Problems that say the same: how many attempts and records ended in it, and one of them to look at."""

    kind: str
    fingerprint: str
    attempts: int
    records: int
    example: Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of a run.

    Attributes:
        exit_code: what the process ends with; None while it runs.
        reason: what ended it before its time, for people; empty where it came to its end.
        endpoint: the host that was asked.
        started: seconds since 1970.
        seconds: how long it has lasted.
        resumed: records that earlier runs on the same ledger have brought to their end; they count as well.
        outcomes: records by outcome; *attempts* by verdict, *retries* by reason, *http* answers by status,
            *logins* by result, each with every value there can be.
        faults: by code, then by what came of them.
        mismatches: delivered records whose answer carries another order key.
        slots: places for requests.
        slot_seconds: what they have spent their time on, by state.
        problems: the most frequent ones.
        files: path by what the file is: ``results``, ``rejects``, ``summary``, ``metrics``, …
        read_through: the last line that was read, where a run ended before its input did and no ledger knows it.
        notes: further sentences for people.
    """

    exit_code: int | None
    reason: str
    endpoint: str
    started: float
    seconds: float
    resumed: int
    input_records: int
    input_bytes: int
    outcomes: Mapping[str, int]
    attempts: Mapping[str, int]
    retries: Mapping[str, int]
    http: Mapping[str, int]
    faults: Mapping[str, Mapping[str, int]]
    logins: Mapping[str, int]
    mismatches: int
    request_seconds: Percentiles
    record_seconds: Percentiles
    slots: int
    slot_seconds: Mapping[str, float]
    problems: tuple[Trouble, ...]
    files: Mapping[str, str]
    read_through: Position | None
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        tally: Tally,
        *,
        exit_code: int | None = None,
        reason: str = "",
        endpoint: str = "",
        files: Mapping[str, str] | None = None,
        read_through: Position | None = None,
        notes: Iterable[str] = (),
    ) -> Self:
        """The run that *tally* counted, up to now."""
        faults: dict[str, dict[str, int]] = {}
        for (code, action), count in tally.faults.items():
            faults.setdefault(code, {})[action] = count
        return cls(
            exit_code=exit_code,
            reason=one_line(reason),
            endpoint=endpoint,
            started=tally.started_wall,
            seconds=tally.seconds,
            resumed=sum(tally.earlier.values()),
            input_records=tally.input_records + sum(tally.earlier.values()),
            input_bytes=tally.input_bytes,
            outcomes={outcome.value: count for outcome, count in tally.all_outcomes.items()},
            attempts={verdict.value: count for verdict, count in tally.attempts.items()},
            retries={verdict.value: count for verdict, count in tally.retries.items()},
            http=dict(tally.http_responses),
            faults=faults,
            logins=dict(tally.logins),
            mismatches=tally.mismatches,
            request_seconds=Percentiles.of_attempts(tally),
            record_seconds=Percentiles.of_records(tally),
            slots=tally.slots,
            slot_seconds=dict(tally.slot_seconds()),
            problems=tuple(
                Trouble(group.kind, group.fingerprint, group.attempts, group.records, group.example)
                for group in tally.problems.top(PROBLEMS)
            ),
            files={name: display_name(path) for name, path in (files or {}).items()},
            read_through=read_through,
            notes=tuple(one_line(note) for note in notes),
        )

    def failed(self, error: OutputFailed) -> Self:
        """The same for a run at whose end a file could not be written."""
        reason = "; ".join(filter(None, (self.reason, one_line(str(error)))))
        return dataclasses.replace(self, exit_code=error.exit_code, reason=reason)

    @property
    def records(self) -> int:
        """Records that have their outcome."""
        return sum(self.outcomes.values())

    @property
    def records_per_second(self) -> float:
        """Of those, the ones of this run, over the whole of it."""
        return (self.records - self.resumed) / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, object]:
        """One object for programs: seconds and bytes as numbers, ``started`` in UTC, what there is not as null."""
        return {
            "exit_code": self.exit_code,
            "reason": self.reason or None,
            "endpoint": self.endpoint or None,
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "records": self.records,
            "resumed": self.resumed,
            "records_per_second": round(self.records_per_second, 1),
            "input": {"records": self.input_records, "bytes": self.input_bytes},
            "outcomes": dict(self.outcomes),
            "attempts": {"total": sum(self.attempts.values()), **self.attempts},
            "retries": {"total": sum(self.retries.values()), **self.retries},
            "request_seconds": self.request_seconds.to_json(),
            "record_seconds": self.record_seconds.to_json(),
            "slots": self.slots,
            "slot_seconds": {state: round(seconds, 3) for state, seconds in self.slot_seconds.items()},
            "http": dict(self.http),
            "faults": {code: dict(actions) for code, actions in self.faults.items()},
            "logins": dict(self.logins),
            "mismatches": self.mismatches,
            "problems": [_trouble(trouble) for trouble in self.problems],
            "files": dict(self.files),
            "read_through": self.read_through and {"line": self.read_through.line, "input": self.read_through.input},
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """For people, within 80 columns, names of files and notes aside; ends with a line break."""
        return closing_text(self)


def _trouble(trouble: Trouble) -> dict[str, object]:
    return {
        "kind": trouble.kind,
        "fingerprint": trouble.fingerprint,
        "count": max(trouble.attempts, trouble.records),
        "attempts": trouble.attempts,
        "records": trouble.records,
        "line": trouble.example.line,
        "input": trouble.example.input,
        "example": trouble.example.text,
    }
