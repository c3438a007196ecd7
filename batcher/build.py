"""The parts of a run, made as its settings ask for: the one place that knows everybody."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from batcher.core.answer import Matcher
from batcher.core.breaker import Breaker
from batcher.core.events import Observer
from batcher.core.limit import Limit
from batcher.core.record import RecordReader
from batcher.core.reply import Judge
from batcher.core.retry import Policy, RetryBudget
from batcher.core.soap import VERSIONS
from batcher.core.stop import StopRule
from batcher.core.template import Operation, Template
from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed, SettingsError
from batcher.flow.ledger.lock import Lock
from batcher.flow.ledger.memory import Memory
from batcher.flow.ledger.projection import Projection
from batcher.flow.ledger.store import Store
from batcher.flow.ledger.writer import LedgerWriter
from batcher.flow.pipeline import Ending, Pipeline, Times
from batcher.flow.session import Credentials, Session
from batcher.flow.sink import FileSink, LineFile, Sink
from batcher.flow.source import FileSource, Source
from batcher.flow.submit import Service
from batcher.flow.transport import Route, SessionTransport
from batcher.operations import load
from batcher.options.texts import PASSWORD, SESSION_KEY
from batcher.settings import Settings
from batcher.values import Secret

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
        credentials, key = _read_secrets(settings)
        self.transport = SessionTransport(_route(settings))
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
            reread=None if session_file is None else lambda: _read_secret(session_file, "--session-file"),
        )
        self._service = Service(
            transport=self.transport,
            session=session,
            judge=judge,
            policy=Policy(settings.max_attempts, settings.in_doubt, settings.retry_faults),
            limit=Limit(settings.connections, settings.concurrency),
            breaker=Breaker(),
            budget=RetryBudget(settings.retry_budget),
        )

    def pipeline(self, source: Source, sink: Sink, kept: Kept | None = None) -> Pipeline:
        """The run from *source* to *sink*; *kept* is its ledger, whose writer is the sink then."""
        settings = self._settings
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
            memory=None if kept is None else kept.memory,
        )
        if kept is not None:
            kept.writer.on_broken(lambda error: pipeline.drain(Ending(error.exit_code, str(error)), "stopped"))
        return pipeline

    def keep_ledger(self, ledger: str, files: Mapping[str, str]) -> Kept:
        """The ledger at the path *ledger*, and the output *files* made from it; it blocks while it reads.

        Raises:
            LedgerInUse: another run writes it.
            LedgerRefused: it is no ledger, or belongs to another run.
            OutputFailed: it cannot be written.
        """
        settings = self._settings
        with contextlib.ExitStack() as stack:
            lock = Lock(ledger, 0.0)
            stack.callback(lock.close)
            store = Store(ledger, create=True)
            stack.callback(store.close)
            store.bind(
                {
                    "endpoint": settings.require_endpoint(),
                    "operation": OPERATION,
                    "defaults": orjson.dumps(dict(settings.default), option=orjson.OPT_SORT_KEYS).decode(),
                    "order": ",".join(settings.order_by) or "none",
                    "skip": str(settings.skip),
                }
            )
            reading = Store(ledger)
            stack.callback(reading.close)
            memory = Memory(reading)
            projection = Projection(store, files.get("results"), files.get("rejects"))
            stack.callback(projection.close)
            limit = self._service.limit
            writer = LedgerWriter(store, projection, self._observer, time.monotonic, lambda: limit.value)
            kept = Kept(lock, writer, memory, store.counts())
            stack.pop_all()
        return kept


@dataclass(frozen=True, slots=True)
class Kept:
    """An open ledger.

    Attributes:
        lock: held until the run has ended.
        writer: keeps it; the run's sink.
        memory: what earlier runs have left.
        earlier: records by outcome that earlier runs have brought to their end.
    """

    lock: Lock
    writer: LedgerWriter
    memory: Memory
    earlier: Mapping[Outcome, int]

    def close(self) -> None:
        """Let go of it, once the writer has ended."""
        self.memory.close()
        self.lock.close()


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
    return FileSource(settings.inputs, max_line_bytes=settings.max_line_bytes, skip=settings.skip, limit=settings.limit)


def open_outputs(settings: Settings) -> tuple[FileSink, dict[str, str]]:
    """Where results and rejects go, and the names of those that are files.

    Raises:
        OutputFailed: one cannot be opened.
        SettingsError: one is an input by another name.
    """
    files = name_outputs(settings)
    sink = FileSink(
        LineFile(files["results"]) if "results" in files else None,
        LineFile(files["rejects"]) if "rejects" in files else None,
    )
    return sink, {name: path for name, path in files.items() if path != "-"}


def name_outputs(settings: Settings) -> dict[str, str]:
    """The paths that results and rejects go to, where they go anywhere; a terminal is not flooded with them.

    Raises:
        OutputFailed: standard output is meant, and closed.
        SettingsError: one is an input by another name.
    """
    results = settings.results
    if results == "-" and sys.stdout is None:
        raise OutputFailed("standard output is closed: name a file with --results")
    if results == "-" and os.isatty(1):
        results = time.strftime("./veetro-results-%Y%m%d-%H%M%S.ndjson")
    _refuse_inputs(settings)
    return {name: path for name, path in (("results", results), ("rejects", settings.rejects)) if path is not None}


def _refuse_inputs(settings: Settings) -> None:
    """No file is written while it is read, whatever names lead to it: a link, or a redirection of the shell."""
    inputs = {_identity(0 if path == "-" else path): path for path in settings.inputs}
    for option, path in (
        ("--results", settings.results),
        ("--rejects", settings.rejects),
        ("--summary", settings.summary),
        ("--ledger", settings.ledger),
    ):
        if path is None:
            continue
        same = inputs.get(_identity(1 if path == "-" else path) or ())
        if same is not None:
            problem = f"{path} is the same file as INPUT {same}, which would be lost"
            raise SettingsError(option, problem, "give it a path of its own")


def _identity(file: str | int) -> tuple[int, ...] | None:
    """What is equal for two names of one regular file; None for all that is none."""
    try:
        found = os.stat(file)  # noqa: PTH116 - also of a descriptor
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _read_secrets(settings: Settings) -> tuple[Credentials | None, Secret | None]:
    if settings.email is not None:
        password = settings.password
        if settings.password_file is not None:
            password = _read_secret(settings.password_file, "--password-file")
        if password is not None:
            return Credentials(settings.email, password), None
    if settings.session_file is not None:
        return None, _read_secret(settings.session_file, "--session-file")
    return None, settings.session


def _read_secret(path: str, option: str) -> Secret:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path is a text here, as everywhere in settings
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(option, f"{path} cannot be read: {reason}") from error
    kind = SESSION_KEY if option == "--session-file" else PASSWORD
    return kind.read(text, option)
