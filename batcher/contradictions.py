"""What settings cannot mean together. Each rule names the options and says what would be right."""

from __future__ import annotations

import os.path
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batcher.core.fingerprint import input_name
from batcher.errors import SettingsError
from batcher.flow.ledger.address import Address, is_database
from batcher.flow.stores import is_object

if TYPE_CHECKING:
    from batcher.settings import Settings


def refuse_contradictions(settings: Settings) -> None:
    """Raise ``SettingsError`` for the first rule that *settings* break."""
    _refuse_bounds(settings)
    _refuse_shards(settings)
    _refuse_unserved(settings)
    _refuse_login(settings)
    _refuse_clear_text(settings)
    _refuse_clear_records(settings)
    _refuse_paths(settings)


def refuse_longer_connecting(connect_timeout: float, timeout: float) -> None:
    """Raise ``SettingsError`` where a connection was given more seconds than its whole attempt."""
    if connect_timeout > timeout:
        problem = f"{connect_timeout:g} s is longer than --timeout, {timeout:g} s for the whole attempt"
        raise SettingsError("--connect-timeout", problem, "give it --timeout or less")


def _refuse_bounds(settings: Settings) -> None:
    if settings.concurrency is not None and settings.concurrency > settings.connections:
        problem = f"{settings.concurrency} requests in flight need more than --connections {settings.connections}"
        raise SettingsError("--concurrency", problem, f"raise --connections to at least {settings.concurrency}")
    if settings.order_strict and not settings.order_by:
        raise SettingsError("--order-strict", "--order-by none keeps no order", "choose --order-by, or leave it out")
    if settings.client_key is not None and settings.client_cert is None:
        raise SettingsError("--client-key", "a key alone proves nothing", "give its certificate with --client-cert")


def _refuse_shards(settings: Settings) -> None:
    if settings.fleet_rate is not None and settings.shard is None:
        remedy = "say how many there are with --shard I/N, or use --rate"
        raise SettingsError("--fleet-rate", "without --shard there is no fleet to divide it among", remedy)
    _refuse_other_shards(settings)
    if settings.shard_by == "key":
        return
    if settings.shard is None:
        remedy = "say which part with --shard I/N, or leave it out"
        raise SettingsError("--shard-by", "without --shard every run would send everything", remedy)
    if "-" in settings.inputs:
        remedy = "name the files, or use --shard-by key"
        raise SettingsError("--shard-by", "standard input is a stream, which has no ranges", remedy)


def _refuse_other_shards(settings: Settings) -> None:
    """A ledger in a database may name its shard."""
    if settings.ledger is None or not is_database(settings.ledger):
        return
    named = Address.read(settings.ledger).shard
    if named is None or (settings.shard is None and not settings.inputs):  # resubmit takes records of the ledger alone
        return
    if named != str(settings.shard):
        given = "is not given" if settings.shard is None else f"is {settings.shard}"
        problem = f"it names the ledger of shard {named}, and --shard {given}"
        raise SettingsError("--ledger", problem, "leave shard= out: each shard has its own ledger by itself")


def _refuse_unserved(settings: Settings) -> None:
    if settings.metrics_linger and settings.metrics_port is None:
        remedy = "serve them with --metrics-port, or leave it out"
        raise SettingsError("--metrics-linger", "there are no numbers to wait for a scrape of", remedy)


def _refuse_login(settings: Settings) -> None:
    password = _given(settings, {"password_file": "--password-file", "password": "VEETRO_BATCH_PASSWORD"})
    session = _given(settings, {"session_file": "--session-file", "session": "VEETRO_BATCH_SESSION"})
    for sources in (password, session):
        if len(sources) > 1:
            raise SettingsError(sources[0], f"{sources[1]} is given as well", "give one of the two")
    if settings.email is not None and session:
        raise SettingsError("--email", f"a login and a session key, {session[0]}, are given", "give one of the two")
    if settings.email is not None and not password:
        remedy = "give --password-file, or VEETRO_BATCH_PASSWORD in the environment"
        raise SettingsError("--email", "a login needs a password", remedy)
    if settings.email is None and password:
        raise SettingsError(password[0], "a password needs to know whose it is", "give --email as well")


def _given(settings: Settings, names: dict[str, str]) -> list[str]:
    return [name for attribute, name in names.items() if getattr(settings, attribute) is not None]


def _refuse_clear_text(settings: Settings) -> None:
    """Credentials go over plain http to this machine alone, proxies on the way included."""
    if settings.endpoint is None or urlsplit(settings.endpoint).scheme.lower() != "http":
        return
    if settings.email is None and settings.session is None and settings.session_file is None:
        return
    if not is_loopback(urlsplit(settings.endpoint).hostname):
        problem = "plain http would show the credentials to everyone on the way"
        raise SettingsError("--endpoint", problem, "use https (http is for loopback addresses)")
    if settings.proxy is not None and not is_loopback(urlsplit(settings.proxy).hostname):
        problem = "it would see the credentials, which go to --endpoint over plain http"
        raise SettingsError("--proxy", problem, "use https for --endpoint, or leave the proxy out")


def is_loopback(host: str | None) -> bool:
    """Whether *host* is this machine by its name or address alone: localhost, 127.0.0.0/8 or ::1."""
    if host is None or host.lower() == "localhost":
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_clear_records(settings: Settings) -> None:
    """Records are people's data; what comes over plain http can be read, and changed, by everyone on the way."""
    for path in settings.inputs:
        if path[:7].lower() == "http://" and not is_loopback(host_of(path)):
            problem = f"{input_name(path)} would come over plain http"
            raise SettingsError("INPUT", problem, "use https (http is for loopback addresses)")


def host_of(address: str) -> str | None:
    """The server's name; None where *address* has none that can be read."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _refuse_paths(settings: Settings) -> None:
    """No file is written twice, or written while it is read."""
    for path in filter(is_database, settings.inputs):
        problem = f"{input_name(path)} is a database, which holds ledgers"
        raise SettingsError("INPUT", problem, "name a file or an object")
    if settings.inputs.count("-") > 1:
        raise SettingsError("INPUT", "standard input, -, is named twice", "it can be read once")
    taken = {_place(path): f"INPUT {input_name(path)}" for path in settings.inputs if path != "-"}
    for name in ("config", "password-file", "session-file", "ca-file", "client-cert", "client-key"):
        path = getattr(settings, name.replace("-", "_"))
        if path is not None:
            taken[_place(path)] = f"--{name}"
    for name in ("results", "rejects", "summary", "report", "metrics-file", "ledger"):
        path = getattr(settings, name.replace("-", "_"))
        if path in (None, "-", os.devnull) or (name == "ledger" and is_database(path)):
            continue
        if name != "ledger" and is_object(path):
            remedy = "name a file; of a --ledger, veetro-batch results and report write objects with --output"
            raise SettingsError(f"--{name}", f"{input_name(path)} is an object, and a run writes files", remedy)
        if _place(path) in taken:
            raise SettingsError(f"--{name}", f"{path} is {taken[_place(path)]} as well", "give it a path of its own")
        taken[_place(path)] = f"--{name}"


def _place(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - pathlib's absolute() keeps the dots of a/../b
