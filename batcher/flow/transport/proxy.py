"""The way to the service: directly, or through an HTTP proxy, chosen as curl chooses it.

The environment is read once: aiohttp would ask it in a thread for every request.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from yarl import URL

from batcher.errors import SettingsError


class Proxy(NamedTuple):
    """An HTTP proxy.

    Attributes:
        url: without credentials.
        authorization: value of the Proxy-Authorization header, or None.
    """

    url: URL
    authorization: str | None


def choose_proxy(target: URL, option: str | None, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for *target*: *option*, else what the environment names for its scheme, else None.

    The environment's proxy is never asked for this machine itself: it could not reach it, and would see what may go
    over plain http to loopback alone.

    Raises:
        SettingsError: it is no URL of an HTTP proxy.
    """
    if option:
        return _parse("--proxy", option)
    if _is_loopback(target.host or ""):
        return None
    # Lower case first, as curl does; upper case HTTP_PROXY too, which curl refuses for the sake of CGI scripts alone.
    for name in (f"{target.scheme}_proxy", "all_proxy"):
        value = environment.get(name) or environment.get(name.upper())
        if value:
            return None if _excluded(target, environment) else _parse(name.upper(), value)
    return None


def _is_loopback(host: str) -> bool:
    network = _network(host)
    return host.rstrip(".").lower() == "localhost" if network is None else network.is_loopback


def _parse(source: str, text: str) -> Proxy:
    remedy = "such as http://proxy.example:3128"
    try:
        url = URL(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise SettingsError(source, "is no URL", remedy) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(source, "is no URL of an HTTP proxy", remedy)
    authorization = None
    if url.raw_user is not None:
        credentials = f"{unquote(url.raw_user)}:{unquote(url.raw_password or '')}"
        authorization = "Basic " + base64.b64encode(credentials.encode()).decode()
    return Proxy(url.with_user(None), authorization)


def _excluded(target: URL, environment: Mapping[str, str]) -> bool:
    """Whether NO_PROXY names the target: ``*``, a host, a domain with all below it, an address, a network."""
    entries = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    host = (target.host or "").rstrip(".").lower()
    return any(_matches(entry.strip().lower(), host, target.port) for entry in entries.split(","))


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    if not entry:
        return False
    if (network := _network(entry)) is not None:
        address = _network(host)
        return address is not None and address.version == network.version and network.supernet_of(address)  # type: ignore[arg-type]
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        if wanted != str(port):
            return False
        entry = name
    entry = entry.strip(".")
    return host == entry or host.endswith(f".{entry}")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
