"""The result of a line: of a record that has ended, and of a line that cannot become one."""

from __future__ import annotations

from batcher.core.record import RecordReader, differs, key_as_json
from batcher.core.result import Origin, Result
from batcher.core.retry import Ended
from batcher.core.verdict import Judgement, Outcome, Problem
from batcher.errors import RecordError
from batcher.flow.job import Job
from batcher.flow.source import Line

_DELIVERED = Outcome.DELIVERED


def result_of(job: Job, ended: Ended, judgement: Judgement | None, now: float, *, standing: bool) -> Result:
    """The result of *job*, which ended at *now*: by an attempt that meant *judgement*, or because the run ends.

    *standing*: see ``Result``.
    """
    outcome, origin = ended.outcome, job.origin
    raw, number, digest, offset, name, _, _, within = job.line  # by name each of them costs as much as all together
    key, attempts = job.record.key, job.history.attempts
    answered = judgement if outcome is _DELIVERED else None
    # All fields in their order, and not Result(…): a __new__ written in Python costs a microsecond with so many.
    fields = (
        number,
        outcome,
        key_as_json(key) if key else None,
        attempts if origin is None else attempts + origin.attempts,
        now - job.read_at,
        digest,
        b"" if answered is None else answered.result,
        ended.problem,
        name,
        offset if within else None,
        answered is not None and key != answered.key and differs(key, answered.key),
        origin,
        None,  # settled
        job.ordinal,
        raw,
        False,  # truncated
        standing,
    )
    return tuple.__new__(Result, fields)


def invalid(
    line: Line, error: RecordError, reader: RecordReader, ordinal: int = 0, origin: Origin | None = None
) -> Result:
    """The result of a line, the run's record number *ordinal*, that cannot become a record because of *error*.

    One that was in doubt by its *origin* stays so: it had been a record once, and was sent.
    """
    doubt = None if origin is None else origin.doubt
    return Result(
        line=line.number,
        outcome=Outcome.INVALID if doubt is None else Outcome.IN_DOUBT,
        key=None if line.problem is not None else key_as_json(reader.key_of(line.raw)),
        attempts=0 if origin is None else origin.attempts,
        seconds=0.0,
        hash=line.hash,
        problem=doubt or Problem(error.kind, error.message, error.field),
        input=line.input,
        offset=line.place,
        origin=origin,
        ordinal=ordinal,
        raw=line.raw,
        truncated=line.size > len(line.raw),
    )
