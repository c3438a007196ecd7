"""The commands that read a ledger and send nothing: results, status and verify.

None of them writes to the ledger, and all but verify may be used while a run does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterable, Iterator

import orjson

from batcher.core.verdict import Outcome
from batcher.errors import LedgerInUse, OutputFailed
from batcher.flow.ledger.proof import Proof
from batcher.flow.ledger.store import Store
from batcher.flow.sink import LineFile
from batcher.flow.source import FileSource
from batcher.observe.words import counts, number, plural
from batcher.settings import Settings

_NOT_SO = 3
_RATE_SECONDS = 1.0
"""For how long status looks on while a run writes: the ledger keeps no times, so a rate is what it sees."""
_FINAL = tuple(outcome for outcome in Outcome if outcome is not Outcome.UNSENT)


def results_command(ledger: str) -> int:
    """Print every result line that *ledger* holds, in the order in which the records finished.

    Raises:
        LedgerRefused: it is no ledger, or a damaged one.
        OutputFailed: it cannot be read, or standard output cannot be written.
    """
    with contextlib.closing(Store(ledger)) as store:
        _print(store.lines("results"))
    return 0


def status_command(ledger: str, *, as_json: bool) -> int:
    """Print where the run of *ledger* stands, for people or as one JSON object.

    Raises:
        LedgerRefused: it is no ledger, or a damaged one.
        OutputFailed: it cannot be read, or standard output cannot be written.
    """
    with contextlib.closing(Store(ledger)) as store:
        with _standing_still(ledger) as still:
            writing = not still
        rate = _rate(store) if writing else None
        with store.snapshot():
            outcomes = {outcome.value: count for outcome, count in store.counts().items() if outcome in _FINAL}
            open_intents = len(store.doubtful())
        bound = {name: store.value(name) for name in ("endpoint", "operation", "order")}
        limit = store.value("limit")
    facts = {
        "ledger": os.fsencode(ledger).decode(errors="replace"),
        "writing": writing,
        **bound,
        "records": sum(outcomes.values()),
        "outcomes": outcomes,
        "open_intents": open_intents,
        "rate": rate,
        "concurrency_limit": limit,
    }
    if as_json:
        _print([orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)])
        return 0
    width = max(len(number(count)) for count in outcomes.values())
    text = [
        f"ledger: {facts['ledger']}, {'a run is writing it now' if writing else 'no run is writing it'}",
        f"service: {bound['endpoint']}, {bound['operation']}, in order by {bound['order']}",
        f"{plural(sum(outcomes.values()), 'record')} with an outcome",
        *(f"  {name.replace('_', ' '):9}  {number(count):>{width}}" for name, count in outcomes.items()),
        f"{plural(open_intents, 'record')} without one {'may be in flight' if writing else 'may have been sent'}",
    ]
    if rate is not None:
        text.append(f"rate: {number(rate)} records/s")
    elif open_intents:
        text.append("the same command again treats what may have been sent by its --in-doubt, and sends the rest")
    _print(f"{line}\n".encode() for line in text)
    return 0


def _rate(store: Store) -> float:
    """Outcomes a second, as seen from here."""
    before, since = sum(store.counts().values()), time.monotonic()
    time.sleep(_RATE_SECONDS)
    return round((sum(store.counts().values()) - before) / (time.monotonic() - since), 1)


def verify_command(ledger: str, settings: Settings) -> int:
    """Prove that each record of ``settings.inputs`` has exactly one outcome and one result line in *ledger*.

    Memory does not depend on the input: the result lines, which stand in another order than the records, wait in a
    temporary file.

    Args:
        ledger: its path.
        settings: inputs and limit; how many records were skipped is what the ledger knows itself.

    Returns:
        0, or 3 where something is not so, after having printed what.

    Raises:
        LedgerInUse: a run is writing it, so nothing can be proved yet.
        LedgerRefused: it is no ledger, or a damaged one.
        InputFailed: an input cannot be read to its end.
        OutputFailed: it cannot be read, or standard output or the temporary file cannot be written.
    """
    with contextlib.closing(Store(ledger)) as store, _standing_still(ledger) as still:
        if not still:
            raise LedgerInUse(f"a run is writing the ledger {ledger}: what is to be proved is known once it has ended")
        source = FileSource(
            settings.inputs,
            max_line_bytes=settings.max_line_bytes,
            skip=int(store.value("skip") or 0),
            limit=settings.limit,
        )
        with contextlib.closing(Proof(store, ledger)) as proof:
            asyncio.run(_walk(source, proof))
        outcomes = store.counts()
    found = counts({outcome.value: outcomes[outcome] for outcome in _FINAL})
    records = plural(proof.records, "record")
    if not proof.findings:
        _print([f"{records}: every one has exactly one outcome ({found or 'there is none'})\n".encode()])
        return 0
    text = [f"{records}: it is not so that every one has exactly one outcome (in the ledger: {found or 'none'})"]
    for kind, (count, places) in proof.findings.items():
        more = ", …" if count > len(places) else ""
        text.append(f"  {kind}: {number(count)} ({', '.join(places)}{more})")
    _print(f"{line}\n".encode() for line in text)
    return _NOT_SO


async def _walk(source: FileSource, proof: Proof) -> None:
    try:
        while lines := await source.read():
            proof.hear(lines)
    finally:
        await source.close()
    proof.end()


@contextlib.contextmanager
def _standing_still(ledger: str) -> Iterator[bool]:
    """Whether no run writes *ledger*; if so none can begin to within the block."""
    with contextlib.ExitStack() as stack:
        still = True
        try:
            # The lock file that ``Lock`` makes; where there is none, nobody has ever written here.
            file = os.open(f"{os.path.realpath(ledger)}.lock", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            still = False
        except FileNotFoundError:
            pass
        except OSError as error:
            raise OutputFailed(f"the lock of the ledger {ledger} cannot be looked at: {error.strerror}") from error
        yield still


def _print(pieces: Iterable[bytes]) -> None:
    """To standard output; quietly less of it where the reader has gone.

    Raises:
        OutputFailed: standard output is closed, or its disk is full.
    """
    if sys.stdout is None:
        raise OutputFailed("standard output is closed")
    with contextlib.closing(LineFile("-")) as output:
        try:
            for piece in pieces:
                output.write(piece)
        except OutputFailed as error:
            if not isinstance(error.__cause__, BrokenPipeError):
                raise
