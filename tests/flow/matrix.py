"""What becomes of a record, for every way in which its first attempt can go and everything the operator can allow.

``python -m tests.flow.matrix`` prints it as the page ``batcher/outcomes.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from batcher.core.verdict import Verdict
from tests.flow.mischief import Way, sandbox
from tests.flow.outages import OUTAGES
from tests.flow.ways import CLIENT, WAYS

InDoubt: TypeAlias = 'Literal["auto", "hold", "resend"]'
RetryFaults: TypeAlias = 'Literal["auto", "always", "never"]'
Then: TypeAlias = 'Literal["well", "the same", "refused"]'

THENS: Final[tuple[Then, ...]] = ("well", "the same", "refused")
"""How the attempts after the first go. Ways that concern the run are not repeated here: others would wait for them."""
SYSTEMIC: Final = frozenset({Verdict.THROTTLED, Verdict.NO_SESSION, Verdict.MISDIRECTED})
REFUSED: Final = Way("Client fault", Verdict.REFUSED, CLIENT, sandbox("client"))
MAX_ATTEMPTS: Final = 2

RESENT: Final[dict[InDoubt, tuple[bool, bool]]] = {
    "auto": (False, True),
    "hold": (False, False),
    "resend": (True, True),
}
"""Whether what may have been applied is sent again: a new record, a safe one."""
RETRIED: Final[dict[RetryFaults, tuple[bool, bool]]] = {
    "auto": (False, True),
    "always": (True, True),
    "never": (False, False),
}
"""Whether a Server fault is sent again: a new record, a safe one. A transient one counts as safe."""


@dataclass(frozen=True)
class Expected:
    """What becomes of a record.

    Attributes:
        outcome: of it.
        kind: of its problem.
        attempts: in all.
        applied: how often the service has applied it.
    """

    outcome: str
    kind: str | None
    attempts: int
    applied: int


@dataclass(frozen=True)
class Cell:
    """One record: the way of its first attempt, how the others go, and whether it is safe to send twice."""

    way: Way
    then: Then
    safe: bool

    @property
    def key(self) -> str:
        """Its SourceID."""
        return f"{self.way.what} | {self.then} | {self.safe}"

    def plan(self, attempt: int) -> Way | None:
        """How an attempt, from 0, goes; None: well."""
        return self.way if attempt == 0 or self.then == "the same" else REFUSED if self.then == "refused" else None

    def may_repeat(self, in_doubt: InDoubt, retry_faults: RetryFaults) -> bool:
        """Whether it is sent a second time."""
        match self.way.verdict:
            case Verdict.UNCERTAIN:
                return RESENT[in_doubt][self.safe]
            case Verdict.FAULTED:
                return RETRIED[retry_faults][self.safe or self.way.transient]
            case verdict:
                return verdict in SYSTEMIC

    def expect(self, in_doubt: InDoubt, retry_faults: RetryFaults) -> Expected:
        """What becomes of it."""
        way = self.way
        if way.verdict is Verdict.ACCEPTED:
            return Expected("delivered", None, 1, 1)
        doubtful = way.verdict is Verdict.UNCERTAIN
        ended = "in_doubt" if doubtful else "rejected"
        if not self.may_repeat(in_doubt, retry_faults):
            return Expected(ended, way.kind, 1, int(way.applied))
        if self.then == "well":
            return Expected("delivered", None, 2, 1 + way.applied)
        if self.then == "the same":
            return Expected(ended, way.kind, MAX_ATTEMPTS, MAX_ATTEMPTS * way.applied)
        # Doubt sticks; a fault does not.
        return Expected(ended, way.kind if doubtful else CLIENT, 2, int(way.applied))


def cells(ways: tuple[Way, ...]) -> Iterator[Cell]:
    """All of *ways*."""
    for way in ways:
        for then in THENS:
            if then != "the same" or way.verdict not in SYSTEMIC:
                yield from (Cell(way, then, safe) for safe in (True, False))


COLUMNS: Final[dict[str, tuple[InDoubt, RetryFaults, bool]]] = {
    "auto, new record": ("auto", "auto", False),
    "auto, safe record": ("auto", "auto", True),
    "hold, never": ("hold", "never", True),
    "resend, always": ("resend", "always", False),
}
INTRODUCTION: Final = """\
# What becomes of a record

For every way in which its first attempt can go wrong, if the second one goes well. *Applied*: the service had applied
the record before it went wrong. The columns are the values of `--in-doubt` and `--retry-faults`; a record is new where
its `ImportSyncRecordID` is 0, else it is safe to send twice. `tests/flow/test_matrix.py` holds each row to what a
service really applied, in SOAP 1.1 and 1.2, also where the second attempt goes wrong in the same way or is refused.

- Delivered means that it was applied. Rejected, after anything but a Server fault, means that it was not.
- Doubt sticks: a record that is sent again after it ends only delivered or in doubt.
- Applied twice is possible only where it says so: the record is safe, or the operator asked for it.

"""
OUTAGE: Final = """
## When the whole service is gone

The run pauses as a whole, sends one probe at a time at growing waits (a login, else a record that is safe to send
twice, else a new one), goes on by itself when the service is back, and ends with exit 7 after `--max-outage`.
`tests/flow/test_outages.py` counts what each kind consumes.
"""
IN_FLIGHT: Final = "none but those whose connections it cut"
COST: Final = {
    Verdict.NOT_SENT: IN_FLIGHT,
    Verdict.MISDIRECTED: "none",
    Verdict.THROTTLED: "none",
    Verdict.UNCERTAIN: "ten in a row, and those in flight with them, until it is noticed; then one a probe",
}


def outcome(cell: Cell, in_doubt: InDoubt, retry_faults: RetryFaults) -> str:
    """What becomes of *cell*, for people."""
    expected = cell.expect(in_doubt, retry_faults)
    text = expected.outcome if expected.kind is None else f"{expected.outcome} `{expected.kind}`"
    again = f", attempt {expected.attempts}" if expected.attempts > 1 else ""
    return text + again + (", **applied twice**" if expected.applied > 1 else "")


def markdown() -> str:
    """The page for people."""
    lines = [
        f"| first attempt | applied | verdict | {' | '.join(COLUMNS)} |",
        f"|---|---|---|{'---|' * len(COLUMNS)}",
    ]
    for way in WAYS:
        ends = " | ".join(
            outcome(Cell(way, "well", safe), in_doubt, faults) for in_doubt, faults, safe in COLUMNS.values()
        )
        mark = " and marked `mismatch`" if way.mismatch else ""
        lines.append(f"| {way.what} | {'yes' if way.applied else 'no'} | {way.verdict}{mark} | {ends} |")
    lines += [OUTAGE, "| the service | verdict | new records that it leaves in doubt |", "|---|---|---|"]
    lines += [f"| {outage.what} | {outage.verdict} | {COST[outage.verdict]} |" for outage in OUTAGES]
    return INTRODUCTION + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - it is what this command is for
