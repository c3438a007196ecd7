"""The commands that read ledgers and send nothing: results and verify; see ``status`` for the third.

None of them writes to the ledger, and results may be used while a run does.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Sequence
from itertools import chain

import orjson

from batcher.core.record import RecordReader
from batcher.core.shard import KeyShard, LineShard, RangeShard
from batcher.core.soap import VERSIONS
from batcher.core.template import Template
from batcher.core.verdict import Outcome
from batcher.errors import LedgerInUse, LedgerRefused, OutputFailed, SettingsError
from batcher.flow.ledger.access import members, open_to_read, standing_still
from batcher.flow.ledger.address import ledger_name, names_shard
from batcher.flow.ledger.division import ShardedProof
from batcher.flow.ledger.proof import SHOWN, Proof
from batcher.flow.ledger.shards import Shards, damaged, open_shards, shard_of
from batcher.flow.ledger.store import Store
from batcher.flow.objects import is_object, write_object
from batcher.flow.output import LineFile
from batcher.flow.rejects import Rejects
from batcher.flow.source import FileSource, Source
from batcher.observe.words import counts, number, plural
from batcher.operations import load
from batcher.outputs import refuse_ledgers
from batcher.settings import Settings
from batcher.values import Shard

_NOT_SO = 3
FINAL = tuple(outcome for outcome in Outcome if outcome is not Outcome.UNSENT)


def results_command(ledgers: Sequence[str], output: str = "-") -> int:
    """Write every result line that *ledgers* hold, of each in the order in which its records finished.

    Args:
        ledgers: their paths or addresses.
        output: a path, the address of an object, or ``-`` for standard output.

    Raises:
        SettingsError: *output* is a file of a ledger, or no object that can be written.
        LedgerRefused: one is no ledger or a damaged one, or several are not those of one run's shards.
        OutputFailed: one cannot be read, or *output* cannot be written.
    """
    refuse_ledgers(ledgers, output, "--output")
    places, of_shards = every(ledgers)
    if not of_shards:
        with contextlib.closing(open_to_read(places[0])) as store:
            _write_pieces(store.lines("results"), output)
        return 0
    with open_shards(ledgers) as shards:
        shards.refuse_twice()
        if shards.missing and not shards.earlier:  # else they have yet to take over what is there
            missing = ", ".join(map(str, shards.missing))
            sys.stderr.write(f"veetro-batch: warning: not all results: no ledger is given of the shards {missing}\n")
        _write_pieces(chain.from_iterable(member.store.lines("results") for member in shards.all), output)
    return 0


def every(ledgers: Sequence[str], *, empty: bool = False) -> tuple[list[str], bool]:
    """*ledgers*, those of all shards in the place of an address that names no shard.

    Where its run was divided anew, those of earlier divisions that still hold something are among them; with *empty*
    the others too.

    And whether they are told of as shards of one run: several are, and one that was found by an address of the whole
    run, for the other shards may have none yet.
    """
    found = [member for ledger in ledgers for member in members(ledger, empty=empty)]
    return found, len(found) > 1 or (names_shard(found[0]) and not names_shard(ledgers[0]))


def _write_pieces(pieces: Iterable[bytes], output: str) -> None:
    if is_object(output):
        write_object(output, pieces, "--output")
    else:
        print_pieces(pieces, output)


def verify_command(ledgers: Sequence[str], settings: Settings) -> int:
    """Prove that each record of ``settings.inputs`` has exactly one outcome and one result line in *ledgers*.

    Of several each is a shard's, and each record is to be in exactly one of them. Memory does not depend on the input:
    the result lines, which stand in another order than the records, wait in temporary files.

    Args:
        ledgers: their paths or addresses.
        settings: inputs and limit; shard and how many records were skipped is what a ledger knows itself.

    Returns:
        0, or 3 where something is not so, after having printed what.

    Raises:
        LedgerInUse: a run is writing one, so nothing can be proved yet.
        LedgerRefused: one is no ledger or a damaged one, or several are not those of one run's shards.
        InputFailed: an input cannot be read to its end.
        OutputFailed: one cannot be read, or standard output or a temporary file cannot be written.
    """
    places, of_shards = every(ledgers)
    with contextlib.ExitStack() as stack:
        proof: Proof | ShardedProof
        if not of_shards:
            [ledger] = places
            store = stack.enter_context(contextlib.closing(open_to_read(ledger)))
            _stand_still(stack, ledger)
            source = _source(settings, store)
            proof = stack.enter_context(contextlib.closing(Proof(store)))
            asyncio.run(_walk(source, proof))
            where = ""
        else:
            for ledger in places:
                _stand_still(stack, ledger)
            shards = stack.enter_context(open_shards(ledgers))
            proof = asyncio.run(_prove(shards, settings))
            where = f" in {plural(shards.count, 'shard')} by {shards.by}"
    return _tell(proof, where)


def _stand_still(stack: contextlib.ExitStack, ledger: str) -> None:
    """Nobody may write the ledger until *stack* is left."""
    if not stack.enter_context(standing_still(ledger)):
        raise LedgerInUse(
            f"a run is writing the ledger {ledger_name(ledger)}: what is to be proved is known once it has ended"
        )


def _tell(proof: Proof | ShardedProof, where: str) -> int:
    found = counts({outcome.value: proof.outcomes[outcome] for outcome in FINAL})
    records = f"{plural(proof.records, 'record')}{where}"
    if not proof.findings:
        once = "each in one shard, and every" if where else "every"
        print_pieces([f"{records}: {once} one has exactly one outcome ({found or 'there is none'})\n".encode()])
        return 0
    text = [f"{records}: it is not so that every one has exactly one outcome (in the ledger: {found or 'none'})"]
    for kind, (count, places) in proof.findings.items():
        more = ", …" if count > len(places) and len(places) == SHOWN else ""
        text.append(f"  {kind}: {number(count)} ({', '.join(places)}{more})")
    print_pieces(f"{line}\n".encode() for line in text)
    return _NOT_SO


async def _prove(shards: Shards, settings: Settings) -> ShardedProof:
    """The inputs, read as the runs of all shards have read them."""
    _, store, first = shards.members[0]
    proof = ShardedProof(shards, int(store.value("skip") or 0), settings.limit)

    def source(shard: LineShard | None) -> FileSource:
        longest = int(store.value("max-line-bytes") or settings.max_line_bytes)
        return FileSource(settings.inputs, max_line_bytes=longest, shard=shard)

    if shards.by == "key":
        await proof.by_key(source(None), _keys(store, first))
    else:
        _refuse_other_sizes(store, source(RangeShard(first)))
        await proof.by_range(lambda shard: source(RangeShard(shard)), source(None))
    return proof


def _source(settings: Settings, store: Store) -> Source:
    """The inputs, read as the ledger's runs have read them."""
    longest, skip = int(store.value("max-line-bytes") or settings.max_line_bytes), int(store.value("skip") or 0)
    if store.value("input") == "rejects":
        whole = FileSource(settings.inputs, max_line_bytes=Rejects.longest(longest), skip=skip, limit=settings.limit)
        return Rejects(whole, longest)
    source = FileSource(settings.inputs, max_line_bytes=longest, skip=skip, limit=settings.limit, shard=_shard(store))
    _refuse_other_sizes(store, source)
    return source


def _refuse_other_sizes(store: Store, source: FileSource) -> None:
    """Where an input has another size, every range begins elsewhere."""
    if source.cut != store.value("input sizes"):
        told = f"shards of inputs of {store.value('input sizes')} bytes, and these have {source.cut}"
        raise LedgerRefused(f"the ledger {store.name} belongs to {told}")


def _shard(store: Store) -> LineShard | None:
    """The one to which the ledger is bound."""
    found = shard_of(store)
    if found is None:
        return None
    shard, by = found
    return RangeShard(shard) if by == "range" else _keys(store, shard)


def _keys(store: Store, shard: Shard) -> KeyShard:
    """What takes the lines of the ledger's shard, by the order of its run."""
    try:
        operation, order = load(str(store.value("operation"))), str(store.value("order"))
        template = Template(operation, VERSIONS["1.1"], orjson.loads(str(store.value("defaults"))))
    except (ValueError, SettingsError) as error:
        raise damaged(store) from error
    order_by = () if order == "none" else tuple(order.split(","))
    return KeyShard(shard, order_by, RecordReader(template, order_by).key_of)


async def _walk(source: Source, proof: Proof) -> None:
    try:
        while lines := await source.read():
            proof.hear(lines)
    finally:
        await source.close()
    proof.end()


def print_pieces(pieces: Iterable[bytes], path: str = "-") -> None:
    """To standard output, or the file at *path*; quietly less of it where the reader has gone.

    Raises:
        OutputFailed: it is closed, or cannot be written.
    """
    if path == "-" and sys.stdout is None:
        raise OutputFailed("standard output is closed")
    with contextlib.closing(LineFile(path)) as output:
        try:
            for piece in pieces:
                output.write(piece)
        except OutputFailed as error:
            if not isinstance(error.__cause__, BrokenPipeError):
                raise
