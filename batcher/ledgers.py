"""The commands that read a ledger and send nothing: results and verify; see ``status`` for the third.

None of them writes to the ledger, and results may be used while a run does.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterable

import orjson

from batcher.core.record import RecordReader
from batcher.core.shard import KeyShard, LineShard, RangeShard
from batcher.core.soap import VERSIONS
from batcher.core.template import Template
from batcher.core.verdict import Outcome
from batcher.errors import LedgerInUse, LedgerRefused, OutputFailed, SettingsError
from batcher.flow.ledger.lock import standing_still
from batcher.flow.ledger.proof import Proof
from batcher.flow.ledger.store import Store
from batcher.flow.output import LineFile
from batcher.flow.rejects import Rejects
from batcher.flow.source import FileSource, Source
from batcher.observe.words import counts, number, plural
from batcher.operations import load
from batcher.settings import Settings
from batcher.values import Shard

_NOT_SO = 3
FINAL = tuple(outcome for outcome in Outcome if outcome is not Outcome.UNSENT)


def results_command(ledger: str) -> int:
    """Print every result line that *ledger* holds, in the order in which the records finished.

    Raises:
        LedgerRefused: it is no ledger, or a damaged one.
        OutputFailed: it cannot be read, or standard output cannot be written.
    """
    with contextlib.closing(Store(ledger)) as store:
        print_pieces(store.lines("results"))
    return 0


def verify_command(ledger: str, settings: Settings) -> int:
    """Prove that each record of ``settings.inputs`` has exactly one outcome and one result line in *ledger*.

    Memory does not depend on the input: the result lines, which stand in another order than the records, wait in a
    temporary file.

    Args:
        ledger: its path.
        settings: inputs and limit; shard and how many records were skipped is what the ledger knows itself.

    Returns:
        0, or 3 where something is not so, after having printed what.

    Raises:
        LedgerInUse: a run is writing it, so nothing can be proved yet.
        LedgerRefused: it is no ledger, or a damaged one.
        InputFailed: an input cannot be read to its end.
        OutputFailed: it cannot be read, or standard output or the temporary file cannot be written.
    """
    with contextlib.closing(Store(ledger)) as store, standing_still(ledger) as still:
        if not still:
            raise LedgerInUse(f"a run is writing the ledger {ledger}: what is to be proved is known once it has ended")
        source = _source(ledger, settings, store)
        with contextlib.closing(Proof(store, ledger)) as proof:
            asyncio.run(_walk(source, proof))
    found = counts({outcome.value: proof.outcomes[outcome] for outcome in FINAL})
    records = plural(proof.records, "record")
    if not proof.findings:
        print_pieces([f"{records}: every one has exactly one outcome ({found or 'there is none'})\n".encode()])
        return 0
    text = [f"{records}: it is not so that every one has exactly one outcome (in the ledger: {found or 'none'})"]
    for kind, (count, places) in proof.findings.items():
        more = ", …" if count > len(places) else ""
        text.append(f"  {kind}: {number(count)} ({', '.join(places)}{more})")
    print_pieces(f"{line}\n".encode() for line in text)
    return _NOT_SO


def _source(ledger: str, settings: Settings, store: Store) -> Source:
    """The inputs, read as the ledger's runs have read them."""
    longest, skip = int(store.value("max-line-bytes") or settings.max_line_bytes), int(store.value("skip") or 0)
    if store.value("input") == "rejects":
        whole = FileSource(settings.inputs, max_line_bytes=Rejects.longest(longest), skip=skip, limit=settings.limit)
        return Rejects(whole, longest)
    source = FileSource(
        settings.inputs, max_line_bytes=longest, skip=skip, limit=settings.limit, shard=_shard(ledger, store)
    )
    if source.cut != store.value("input sizes"):
        told = f"shards of inputs of {store.value('input sizes')} bytes, and these have {source.cut}"
        raise LedgerRefused(f"the ledger {ledger} belongs to {told}")
    return source


def _shard(ledger: str, store: Store) -> LineShard | None:
    """The one to which the ledger is bound."""
    shard, _, by = str(store.value("shard") or "none").partition(" by ")
    if shard == "none":
        return None
    try:
        index, count = map(int, shard.split("/"))
        if by == "range":
            return RangeShard(Shard(index, count))
        operation, order = load(str(store.value("operation"))), str(store.value("order"))
        template = Template(operation, VERSIONS["1.1"], orjson.loads(str(store.value("defaults"))))
        order_by = () if order == "none" else tuple(order.split(","))
        return KeyShard(Shard(index, count), order_by, RecordReader(template, order_by).key_of)
    except (ValueError, SettingsError) as error:
        raise LedgerRefused(f"the ledger {ledger} is damaged: it belongs to no shard that there can be") from error


async def _walk(source: Source, proof: Proof) -> None:
    try:
        while lines := await source.read():
            proof.hear(lines)
    finally:
        await source.close()
    proof.end()


def print_pieces(pieces: Iterable[bytes]) -> None:
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
