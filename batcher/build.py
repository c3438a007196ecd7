"""The parts of a run, made as its settings ask for: the one place that knows everybody."""

from __future__ import annotations

import os
import time

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
from batcher.errors import SettingsError
from batcher.flow.pipeline import Pipeline, Times
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

    def pipeline(self, source: Source, sink: Sink) -> Pipeline:
        """The run from *source* to *sink*."""
        settings = self._settings
        return Pipeline(
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
        )


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
    """Where results and rejects go, and the names of those that are files; a terminal is not flooded with them.

    Raises:
        OutputFailed: one cannot be opened.
    """
    results = settings.results
    if results == "-" and os.isatty(1):
        results = time.strftime("./veetro-results-%Y%m%d-%H%M%S.ndjson")
    files = {
        name: path
        for name, path in (("results", results), ("rejects", settings.rejects))
        if path is not None and path != "-"
    }
    sink = FileSink(
        None if results is None else LineFile(results),
        None if settings.rejects is None else LineFile(settings.rejects),
    )
    return sink, files


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
