"""The parts of a run, made as its settings ask for: the one place that knows everybody."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping

import orjson

from batcher.again import Again
from batcher.core.answer import Matcher
from batcher.core.breaker import Breaker
from batcher.core.events import Observer
from batcher.core.limit import Limit
from batcher.core.rate import Pacer, share_of_fleet
from batcher.core.record import RecordReader
from batcher.core.reply import Judge
from batcher.core.retry import Policy, RetryBudget
from batcher.core.shard import KeyShard, LineShard, RangeShard
from batcher.core.soap import VERSIONS
from batcher.core.stop import StopRule
from batcher.core.template import Operation, Template
from batcher.core.verdict import Outcome
from batcher.credentials import read_secret, read_secrets
from batcher.errors import LedgerRefused, OutputFailed, SettingsError
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.address import ledger_name
from batcher.flow.ledger.memory import Memory, Recalls
from batcher.flow.ledger.moving import Moving
from batcher.flow.ledger.projection import Projection
from batcher.flow.ledger.reopened import Reopened
from batcher.flow.ledger.runs import Reading
from batcher.flow.ledger.selection import Left, select
from batcher.flow.ledger.writer import LedgerWriter
from batcher.flow.pipeline import Ending, Pipeline, Times
from batcher.flow.rejects import Rejects
from batcher.flow.service import Service
from batcher.flow.session import Session
from batcher.flow.sink import Sink
from batcher.flow.source import FileSource, IterableSource, Source
from batcher.flow.transport import Route, open_transport
from batcher.kept import Kept
from batcher.operations import load
from batcher.settings import Settings
from batcher.values import Shard

OPERATION = "SetOutlookSyncRecord"
LOGIN = "AuthenticateWebSafe"


class Parts:
    """What a run is put together from; made within a running event loop.

    Args:
        settings: what is asked for.
        observer: hears what happens.

    Attributes:
        transport: to be closed by whoever made the parts.

    Raises:
        SettingsError: what is asked for is not there, or makes no sense.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer
        operation, self._reader = record_reader(settings)
        soap = VERSIONS[settings.soap]
        judge = Judge(
            Matcher(operation, soap, settings.order_by),
            settings.session_fault_pattern,
            settings.transient_fault_pattern,
        )
        credentials, key = read_secrets(settings)
        self.transport = open_transport(_route(settings))
        session_file = settings.session_file
        session = Session(
            operation,
            load(LOGIN),
            soap,
            judge,
            self.transport,
            observer,
            time.time,
            credentials=credentials,
            key=key,
            reread=None if session_file is None else lambda: read_secret(session_file, "--session-file"),
        )
        self._service = Service(
            transport=self.transport,
            session=session,
            judge=judge,
            policy=Policy(settings.max_attempts, settings.in_doubt, settings.retry_faults),
            limit=Limit(settings.connections, settings.concurrency, ahead=_ahead()),
            breaker=Breaker(ahead=_ahead()),
            budget=RetryBudget(settings.retry_budget),
        )

    def pipeline(self, source: Source, sink: Sink, kept: Kept | None = None) -> Pipeline:
        """The run from *source* to *sink*; *kept* is its ledger, whose writer is the sink then."""
        settings = self._settings
        memory: Recalls | None = None if kept is None else kept.memory
        if isinstance(source, Rejects):
            source.memory, memory = memory, source
        pipeline = Pipeline(
            source=source,
            reader=self._reader,
            service=self._service,
            workers=settings.connections,
            sink=sink,
            stop=StopRule(settings.stop_after),
            times=Times(settings.max_outage, settings.drain_timeout),
            observer=self._observer,
            clock=time.monotonic,
            wall=time.time,
            intents=None if kept is None else kept.writer,
            memory=memory,
            strict=settings.order_strict,
        )
        rate = _rate_of(settings)
        if rate is not None:
            pipeline.submitter.gate.keep_pace(Pacer(rate))
        if kept is not None:
            writer = kept.writer
            # Witnesses for the service, should but one record be left that it turns away.
            pipeline.submitter.accepted = kept.earlier[Outcome.DELIVERED]
            writer.on_broken(lambda error: pipeline.drain(Ending(error.exit_code, str(error)), "stopped"))
            kept.hold.on_lost(_telling(pipeline))
            writer.reading = lambda: Reading(
                time.time(), pipeline.records, source.bytes_read, source.total_bytes, pipeline.read_whole
            )
        return pipeline

    def keep_ledger(
        self, ledger: str, files: Mapping[str, str], again: Again | None = None, cut: str | None = None
    ) -> Kept:
        """The ledger at *ledger*, and the output *files* made from it; it blocks while it reads.

        Where its records are submitted *again*, they are open again afterwards. *cut* tells by which sizes the inputs
        were cut into ranges.

        Raises:
            LedgerInUse: another run writes it.
            LedgerRefused: it is no ledger, or belongs to another run.
            OutputFailed: it cannot be written.
        """
        settings = self._settings
        reopens = again is not None and again.of_ledger
        with contextlib.ExitStack() as stack:
            bound = _identity_of(settings) | (_shard_of(settings) if reopens else _input_of(settings, again, cut))
            held = hold(ledger, create=not reopens, bound=_longest(settings) | bound)
            stack.callback(held.close)
            store = held.open()
            stack.callback(store.close)
            store.bind(bound)
            before = held.earlier()
            if before is not None:
                stack.callback(before.close)
                _refuse_parts(settings, ledger, reopens=reopens)
            projection = Projection(store, files.get("results"), files.get("rejects"), only_known=reopens)
            stack.callback(projection.close)
            left = Left()
            if again is not None and again.of_ledger:
                left = select(store, self._reader, self._service.policy, allow_stale=again.allow_stale)
            reading = held.read()
            stack.callback(reading.close)
            found = store.value("limit")
            known = found if isinstance(found, int) else None
            limit = Limit(settings.connections, settings.concurrency, known, ahead=_ahead())
            self._service.limit = limit
            writer = LedgerWriter(store, projection, self._observer, time.monotonic, limit)
            counts = store.counts()
            store.begin_run(time.time(), sum(counts.values()), again=reopens)
            earlier = {outcome: count + left.outcomes[outcome] for outcome, count in counts.items()}
            memory: Memory | Reopened | Moving
            if reopens:
                memory = Reopened(reading, settings.max_line_bytes)
            elif before is None:
                memory = Memory(reading, settings.limit)
            else:
                memory = Moving(
                    Memory(reading), before, _keys(settings, settings.shard or Shard(0, 1)), writer, earlier
                )
            kept = Kept(held, writer, memory, reading, earlier, left)
            stack.pop_all()
        return kept


def _telling(pipeline: Pipeline) -> Callable[[OutputFailed], None]:
    """What ends the run of *pipeline*, from any thread, once its ledger can be written no more."""
    loop = asyncio.get_running_loop()

    def tell(error: OutputFailed) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: the run has ended
            loop.call_soon_threadsafe(pipeline.drain, Ending(error.exit_code, str(error)), "stopped")

    return tell


def _identity_of(settings: Settings) -> dict[str, str]:
    """What a ledger is bound to, whatever its input is."""
    return {
        "endpoint": settings.require_endpoint(),
        "operation": OPERATION,
        "defaults": orjson.dumps(dict(settings.default), option=orjson.OPT_SORT_KEYS).decode(),
        "order": ",".join(settings.order_by) or "none",
    }


def _input_of(settings: Settings, again: Again | None, cut: str | None) -> dict[str, str]:
    """What tells which records are the ledger's, and in which form."""
    found = {"skip": str(settings.skip), "input": "records" if again is None else "rejects", "shard": "none"}
    found |= _shard_of(settings)
    if cut is not None:  # where an input has grown, every range begins elsewhere
        found["input sizes"] = cut
    elif settings.shard is not None:
        found |= _longest(settings)
    return found


def _longest(settings: Settings) -> dict[str, str]:
    """What shards by key are bound to as well: the key of a line that is too long is not read."""
    return {"max-line-bytes": str(settings.max_line_bytes)}


def _refuse_parts(settings: Settings, ledger: str, *, reopens: bool) -> None:
    """Raise ``LedgerRefused`` for a run that reads not all of its input, while records are to move to its ledger."""
    still = f"the ledger {ledger_name(ledger)} is of a run that was divided anew, and records are still where they were"
    if reopens:
        raise LedgerRefused(
            f"{still}: let each of its shards read its input to the end first, as --stop-after none does"
        )
    if settings.limit is not None:
        raise LedgerRefused(f"{still}: they move as the input is read, so leave out --limit until all of it was")


def _rate_of(settings: Settings) -> float | None:
    """Requests a second that may be sent at most; None for any number."""
    rates = [] if settings.rate is None else [settings.rate]
    if settings.fleet_rate is not None and settings.shard is not None:
        rates.append(share_of_fleet(settings.fleet_rate, settings.shard.count))
    return min(rates, default=None)


def _ahead() -> float:
    """By how much the wall clock, which all clients of a service share, is ahead of the run's own."""
    return time.time() - time.monotonic()


def _shard_of(settings: Settings) -> dict[str, str]:
    """The shard, where one is named."""
    return {} if settings.shard is None else {"shard": f"{settings.shard} by {settings.shard_by}"}


def _route(settings: Settings) -> Route:
    return Route(
        url=settings.require_endpoint(),
        connections=settings.connections,
        timeout=settings.timeout,
        connect_timeout=settings.connect_timeout,
        ca_file=settings.ca_file,
        client_cert=settings.client_cert,
        client_key=settings.client_key,
        proxy=settings.proxy,
    )


def record_reader(settings: Settings) -> tuple[Operation, RecordReader]:
    """The operation, and what reads its records, for commands that send nothing."""
    operation = load(OPERATION)
    return operation, RecordReader(Template(operation, VERSIONS[settings.soap], settings.default), settings.order_by)


def open_source(settings: Settings) -> FileSource:
    """The inputs that *settings* name."""
    return FileSource(
        settings.inputs,
        max_line_bytes=settings.max_line_bytes,
        skip=settings.skip,
        limit=settings.limit,
        shard=_line_shard(settings),
    )


def open_given(settings: Settings, records: Iterable[object] | AsyncIterable[object]) -> IterableSource:
    """*records* as an input.

    Raises:
        SettingsError: a range of them is asked for.
    """
    shard = _line_shard(settings)
    if isinstance(shard, RangeShard):
        raise SettingsError("--shard-by", "records that a program gives have no ranges", "use key")
    return IterableSource(
        records, max_line_bytes=settings.max_line_bytes, skip=settings.skip, limit=settings.limit, shard=shard
    )


def _line_shard(settings: Settings) -> LineShard | None:
    if settings.shard is None:
        return None
    if settings.shard_by == "range":
        return RangeShard(settings.shard)
    return _keys(settings, settings.shard)


def _keys(settings: Settings, shard: Shard) -> KeyShard:
    return KeyShard(shard, settings.order_by, record_reader(settings)[1].key_of)


def open_rejects(settings: Settings) -> Rejects:
    """The same, where their lines are rejects lines."""
    longest = Rejects.longest(settings.max_line_bytes)
    source = FileSource(settings.inputs, max_line_bytes=longest, skip=settings.skip, limit=settings.limit)
    return Rejects(source, settings.max_line_bytes)
