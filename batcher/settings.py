# ruff: noqa: RUF009 - option() makes a dataclass field, not a default that all instances share
"""Everything that a run can be told, each option once: its name, type, default, how it is written and what it means.

Arguments, environment, TOML, ``--show-config``, help and the README's table are all made from this one table. Settings
open no file: they hold paths, and whoever needs the contents reads them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

from batcher.contradictions import refuse_contradictions
from batcher.errors import SettingsError
from batcher.options import Option
from batcher.options.kinds import (
    PERCENT,
    RATE,
    SHARD,
    SHARE,
    STOP_AFTER,
    SWITCH,
    Kind,
    StopAfter,
    choice,
    duration,
    optional,
    size,
    whole,
)
from batcher.options.texts import (
    ENDPOINT,
    FIELDS,
    FILLED,
    GATEWAY,
    LEDGER,
    PASSWORD,
    PATH,
    PATTERN,
    PROXY,
    SESSION_FAULT,
    SESSION_KEY,
    STREAM,
    TEXT,
    TRANSIENT_FAULT,
    Scalar,
    filler,
)
from batcher.values import Secret, Shard, Share

T = TypeVar("T")

SERVICE, LOGIN, SENDING, RECORDS = "service", "login", "sending", "records"
OUTPUT, OBSERVING, SECURITY, CONFIGURATION = "output", "observing", "TLS and proxy", "configuration"


def option(
    default: T, metavar: str, kind: Kind[T], group: str, text: str, *, shown: str = "", secret: bool = False
) -> T:
    """Declare an option as a field of ``Settings``; a dataclass field, though typed as its value for the checker."""
    declared = {"metavar": metavar, "kind": kind, "group": group, "help": text, "default_text": shown, "secret": secret}
    made: Any = dataclasses.field(
        default_factory=_same(default), repr=not kind.hidden, metadata={"option": declared | {"default": default}}
    )
    return cast("T", made)


def _same(value: T) -> Callable[[], T]:
    return lambda: value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run is told; an attribute is the option's name with underscores.

    Values are checked however they came here: one that its option does not take, or that contradicts another, raises
    ``SettingsError``.

    Attributes:
        inputs: paths of the records' files, ``-`` for standard input; empty where records come from elsewhere.
        connect_timeout: never more than ``timeout``, which takes its place where it is shorter.
        allow_stale: for ``resubmit`` alone.
        default: text is read as the field's type asks (``--default`` and the environment have nothing else); other
            values are taken as they are.
    """

    inputs: tuple[str, ...] = ()

    endpoint: str | None = option(
        None,
        "URL",
        optional(ENDPOINT),
        SERVICE,
        "where to POST; credentials are not sent over plain http except to loopback",
        shown="required",
    )
    soap: Literal["1.1", "1.2"] = option(
        "1.1", "1.1|1.2", choice("1.1", "1.2", number=True), SERVICE, "version of the envelope"
    )

    email: str | None = option(
        None, "NAME", optional(TEXT), LOGIN, "log in with AuthenticateWebSafe; needs a password as well"
    )
    password_file: str | None = option(
        None, "PATH", optional(PATH), LOGIN, "file that holds the password; one on the command line is never taken"
    )
    password: Secret | None = option(
        None,
        "",
        optional(PASSWORD, ""),
        LOGIN,
        "the password itself; in the environment only",
        shown="none",
        secret=True,
    )
    session_file: str | None = option(
        None,
        "PATH",
        optional(PATH),
        LOGIN,
        "use the session key in this file instead of a login; read again when the session is lost",
    )
    session: Secret | None = option(
        None,
        "",
        optional(SESSION_KEY, ""),
        LOGIN,
        "the session key itself; in the environment only",
        shown="none",
        secret=True,
    )
    session_fault_pattern: re.Pattern[str] = option(
        SESSION_FAULT,
        "REGEX",
        PATTERN,
        LOGIN,
        "a fault whose text matches means that the session is gone",
        shown="words of session and login",
    )

    connections: int = option(
        64,
        "N",
        whole(1, 10_000),
        SENDING,
        "bound of the connection pool, logins and probes included; never exceeded",
    )
    concurrency: int | None = option(
        None,
        "auto|N",
        optional(whole(1, 10_000), "auto"),
        SENDING,
        "requests in flight: found by itself, or fixed; at most --connections",
    )
    rate: float | None = option(
        None,
        "N/s",
        optional(RATE),
        SENDING,
        "ceiling on the requests that are sent, evenly spaced; also N/m and N/h",
    )
    fleet_rate: float | None = option(
        None,
        "N/s",
        optional(RATE),
        SENDING,
        "likewise for all shards together: with --shard I/N each takes an N-th",
    )
    timeout: float = option(
        120.0,
        "TIME",
        duration(),
        SENDING,
        "for one attempt. The server may work for 110 s: a shorter one makes records doubtful that arrive",
    )
    connect_timeout: float = option(
        10.0,
        "TIME",
        duration(),
        SENDING,
        "for the connection of one attempt, TLS included; at most --timeout, which is the default where it is shorter",
    )
    max_attempts: int = option(6, "N", whole(1, 1000), SENDING, "attempts for one record, the first included")
    retry_budget: float = option(
        0.2,
        "P%",
        PERCENT,
        SENDING,
        "retries stay below this share of the requests of the last 10 s, but 10 a second are always allowed;"
        " a retry over the budget waits, it is not given up",
    )
    in_doubt: Literal["auto", "hold", "resend"] = option(
        "auto",
        "auto|hold|resend",
        choice("auto", "hold", "resend"),
        SENDING,
        "a request that may have been applied: resend where the record is safe to resend, else hold; always hold;"
        " always resend",
    )
    allow_stale: bool = option(
        False,
        "",
        SWITCH,
        SENDING,
        "of resubmit alone: also records of whose key a later one was delivered; with a LEDGER",
        shown="off",
    )
    retry_faults: Literal["auto", "always", "never"] = option(
        "auto",
        "auto|always|never",
        choice("auto", "always", "never"),
        SENDING,
        "a Server fault is sent again: where the record is safe to resend, or the fault's text says that it was turned"
        " away and will pass; always; never",
    )
    transient_fault_pattern: re.Pattern[str] = option(
        TRANSIENT_FAULT,
        "REGEX",
        PATTERN,
        SENDING,
        "a Server fault whose text matches was turned away and will pass",
        shown="words of deadlock and overload",
    )
    max_outage: float = option(
        900.0, "TIME", duration(zero=True), SENDING, "give up when the service has been unusable for so long"
    )
    drain_timeout: float = option(
        30.0,
        "TIME",
        duration(zero=True),
        SENDING,
        "on SIGTERM or SIGINT stop reading and finish what is in flight for so long; a second signal leaves at once",
    )

    order_by: tuple[str, ...] = option(
        ("SourceID",),
        "FIELD[,FIELD]|none",
        FIELDS,
        RECORDS,
        "records that share a value are sent in input order, never two of them open at once; empty, null and 0 are"
        " no value",
    )
    order_strict: bool = option(
        False,
        "",
        SWITCH,
        RECORDS,
        "once a record of a key was not delivered, later ones of that key are left unsent",
        shown="off",
    )
    max_line_bytes: int = option(
        16 * 2**20, "SIZE", size(2**30), RECORDS, "a longer line is invalid, and is never held whole"
    )
    default: Mapping[str, Scalar] = option(
        MappingProxyType({}),
        "FIELD=VALUE",
        FILLED,
        RECORDS,
        "fill a field that a record lacks; repeatable. In the environment separated by commas or lines, in TOML the"
        " table [defaults]",
        shown="none",
    )
    skip: int = option(0, "N", whole(0, 10**15), RECORDS, "leave out the first N records")
    limit: int | None = option(None, "N", optional(whole(0, 10**15)), RECORDS, "take only so many records")
    shard: Shard | None = option(
        None,
        "I/N",
        optional(SHARD),
        RECORDS,
        "take the I-th of N parts of the records, I from 0; --skip and --limit count within it",
    )
    shard_by: Literal["key", "range"] = option(
        "key",
        "key|range",
        choice("key", "range"),
        RECORDS,
        "how they are divided: by order key, records without one by their hash; by bytes of plain files, where order"
        " holds within a shard only",
    )

    results: str | None = option(
        "-",
        "PATH|-|none",
        optional(STREAM),
        OUTPUT,
        "where result lines go, one a record; with a terminal on standard output ./veetro-results-TIME.ndjson",
    )
    ledger: str | None = option(
        None,
        "PATH|URL",
        optional(LEDGER),
        OUTPUT,
        "keep a durable ledger in this file, on a local disk, or in a database (postgresql://...): run the same command"
        " again to resume after a stop or a crash",
    )
    ledger_wait: float = option(
        0.0, "TIME", duration(zero=True), OUTPUT, "wait so long for another run on the same ledger to end"
    )
    rejects: str | None = option(
        None, "PATH", optional(PATH), OUTPUT, "the result lines that are not delivered, with their records"
    )
    summary: str | None = option(None, "PATH", optional(PATH), OUTPUT, "write the summary as one JSON object")
    report: str | None = option(
        None, "PATH", optional(PATH), OUTPUT, "write the report at the end: one HTML file that needs nothing else"
    )
    stop_after: StopAfter = option(
        "default",
        "N|P%|none",
        STOP_AFTER,
        OUTPUT,
        "stop when so many records were not delivered; a share counts from 100 finished on",
        shown="when the first 100 finished were all rejected",
    )
    allow_rejected: Share = option(
        Share(0), "N|P%", SHARE, OUTPUT, "so many rejected and invalid records still end in exit 0"
    )

    metrics_port: int | None = option(
        None,
        "N",
        optional(whole(0, 65535), "off"),
        OBSERVING,
        "serve a live page at / and /metrics, /healthz, /readyz, /status on this port; 0: any free",
    )
    metrics_host: str = option("127.0.0.1", "H", TEXT, OBSERVING, "address that they are served on")
    metrics_linger: float = option(
        0.0,
        "TIME",
        duration(zero=True),
        OBSERVING,
        "stay up after the end until the final numbers were scraped once, at most so long",
    )
    metrics_file: str | None = option(
        None,
        "PATH",
        optional(PATH),
        OBSERVING,
        "write the final numbers, for node_exporter's textfile collector",
    )
    pushgateway: str | None = option(
        None, "URL", optional(GATEWAY), OBSERVING, "push the final numbers to this Pushgateway, grouped by job alone"
    )
    progress: Literal["auto", "live", "plain", "off"] = option(
        "auto",
        "auto|live|plain|off",
        choice("auto", "live", "plain", "off"),
        OBSERVING,
        "how to show progress on standard error: live view on a terminal, else a plain line now and then",
    )
    log_format: Literal["text", "json"] = option(
        "text", "text|json", choice("text", "json"), OBSERVING, "form of the log on standard error"
    )
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "info",
        "debug|info|warning|error",
        choice("debug", "info", "warning", "error"),
        OBSERVING,
        "the least important lines that are logged",
    )

    ca_file: str | None = option(
        None,
        "PATH",
        optional(PATH),
        SECURITY,
        "trust these certificate authorities (PEM); certificates are always checked",
    )
    client_cert: str | None = option(
        None, "PATH", optional(PATH), SECURITY, "certificate to show to the server (PEM), with its key or --client-key"
    )
    client_key: str | None = option(None, "PATH", optional(PATH), SECURITY, "key of --client-cert (PEM)")
    proxy: str | None = option(
        None,
        "URL",
        optional(PROXY),
        SECURITY,
        "send through this proxy; HTTPS_PROXY and NO_PROXY are honoured without it",
    )

    config: str | None = option(
        None, "PATH", optional(PATH), CONFIGURATION, "read settings from this TOML file; keys are the options' names"
    )

    def __post_init__(self) -> None:
        for name, value in self.default.items():
            filler(name, value, "--default")
        for declared in OPTIONS.values():
            if declared.name != "default":
                _check(declared, getattr(self, declared.attribute))
        object.__setattr__(self, "connect_timeout", min(self.connect_timeout, self.timeout))
        refuse_contradictions(self)

    def require_endpoint(self) -> str:
        """The endpoint; a ``SettingsError`` where there is none, for whoever is about to send."""
        if self.endpoint is None:
            remedy = "name the service, such as --endpoint https://acme.worketc.com/xml (or set VEETRO_BATCH_ENDPOINT)"
            raise SettingsError("--endpoint", "is missing", remedy)
        return self.endpoint


def _check(declared: Option, value: object) -> None:
    """A value is right if the text that it is shown as gives it again: no rule is written twice."""
    problem = f"a value of type {type(value).__name__} is not {declared.kind.expects}"
    try:
        text = str(declared.kind.show(value))
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(declared.public_name, problem) from error
    again = declared.kind.read(text, declared.public_name)
    if not isinstance(value, int if isinstance(value, int) and isinstance(again, float) else type(again)):
        raise SettingsError(declared.public_name, problem)


OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        name: Option(name=name, **entry.metadata["option"])
        for entry in dataclasses.fields(Settings)
        if "option" in entry.metadata
        for name in [entry.name.replace("_", "-")]
    }
)
"""Every option by its name, in the order of help."""
