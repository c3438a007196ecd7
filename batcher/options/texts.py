"""The kinds of options that stay text or are made of it: paths, patterns, fields, addresses, secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from batcher.errors import SettingsError
from batcher.flow.ledger.address import Address, is_database
from batcher.options.kinds import Kind
from batcher.values import Secret

Scalar: TypeAlias = "str | int | float | bool"


def _text(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("it is empty" if not text.strip() else "it holds a control character")
    return text


TEXT = Kind("a text", _text)


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("it is empty" if not text else "it holds a NUL character")
    return text


def _named_path(text: str) -> str:
    if text == "-":
        raise ValueError("only --results takes standard output; a file of that name is ./-")
    return _path(text)


def _ledger(text: str) -> str:
    if is_database(text):
        Address.read(text)
        return text
    return _named_path(text)


LEDGER = Kind("a path, or an address such as postgresql://host/database?ledger=NAME", _ledger, hidden=True)
STREAM = Kind("a path, or - for standard output", _path)
PATH = Kind("a path", _named_path)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text, re.IGNORECASE)
    except re.error as error:
        where = "" if error.pos is None else f" at position {error.pos}"
        raise ValueError(f"{error.msg}{where}") from error
    if pattern.search(""):
        raise ValueError("it matches every text, even an empty one")
    return pattern


PATTERN = Kind("a regular expression", _pattern, lambda pattern: pattern.pattern)
"""A regular expression in Python's notation, searched for without regard to letter case."""


SESSION_FAULT = re.compile(
    r"\b(?:(?:veetro)?session(?:s|key|id)?|log(?:ged|ging)?[ -]?(?:in|on|out|off)|log(?:in|on)s"
    r"|sign(?:ed|ing)?[ -]?(?:in|on|out)|authenticat\w*|unauthori[sz]ed|not authori[sz]ed|permissions?)\b",
    re.IGNORECASE,
)
"""Nobody documents what an expired session gets; this takes any talk of session, login or permission for one."""

TRANSIENT_FAULT = re.compile(
    r"\b(?:deadlock(?:s|ed)?|rerun the transaction|busy|(?:try again|retry) (?:later|shortly|soon|in a)"
    r"|too many (?:requests|connections)|temporarily unavailable|shutting down|overloaded)\b",
    re.IGNORECASE,
)
"""Texts that say that the call was turned away and that this will pass. "Timeout expired" is none: what ran into it may
have been applied; nor is a bare "please try again", which ends many a message about a wrong value."""


def _fields(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or len(set(names)) < len(names):
        raise ValueError("a name is missing" if "" in names else "a name stands there twice")
    return names


FIELDS = Kind(
    "a list of fields such as SourceID or SourceType,SourceID, or none", _fields, lambda n: ",".join(n) or "none"
)


def _filled(text: str) -> Mapping[str, Scalar]:
    name, equals, value = text.partition("=")
    if not (name.strip() and equals):
        raise ValueError
    return {name.strip(): value}


FILLED: Kind[Mapping[str, Scalar]] = Kind(
    "FIELD=VALUE", _filled, lambda values: ",".join(f"{name}={value}" for name, value in values.items())
)
"""One field and its value, which may hold anything."""


def fillings(text: str) -> list[str]:
    """Where one text has room for several ``FIELD=VALUE``: by lines, or by commas where there is but one line."""
    pieces = text.split("\n") if "\n" in text else text.split(",")
    return [piece for piece in pieces if piece.strip()]


def _address(text: str) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise ValueError("it holds a blank or a control character")
    if not re.match(r"https?://", text, re.IGNORECASE):
        raise ValueError("it must begin with https:// or http://")
    parts = urlsplit(text)
    if not parts.hostname:
        raise ValueError("it names no host")
    if parts.port == 0:
        raise ValueError("0 is no port")
    if parts.fragment or text.endswith("#"):
        raise ValueError("the part behind # is never sent; leave it out")
    return parts


def _endpoint(text: str) -> str:
    if "@" in _address(text).netloc:
        raise ValueError("it holds a user name or password; leave them out and log in with --email")
    return text


def _proxy(text: str) -> str:
    if (parts := _address(text)).path not in ("", "/") or parts.query:
        raise ValueError("it holds more than a host and port")
    return text


def masked(address: str) -> str:
    """*address* without the user name and password that it may hold."""
    scheme, slashes, rest = address.partition("://")
    return f"{scheme}{slashes}***@{rest.rpartition('@')[2]}" if "@" in rest else address


def _gateway(text: str) -> str:
    if "@" in _address(text).netloc:
        raise ValueError("it holds a user name or password, which nothing here keeps secret")
    return text


GATEWAY = Kind("an address such as http://pushgateway.example:9091", _gateway, hidden=True)
ENDPOINT = Kind("an address such as https://acme.worketc.com/xml", _endpoint, hidden=True)
PROXY = Kind("an address such as http://proxy.example:3128", _proxy, hidden=True)


def _password(text: str) -> Secret:
    if not (secret := Secret(text)).reveal():
        raise ValueError("it is empty")
    return secret


def _session_key(text: str) -> Secret:
    key = (secret := _password(text)).reveal()
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise ValueError("it holds characters that no HTTP header takes, or blanks around it")
    return secret


PASSWORD = Kind("a password", _password, Secret.reveal, hidden=True)
SESSION_KEY = Kind("a session key", _session_key, Secret.reveal, hidden=True)


def filler(field: str, value: object, name: str) -> Scalar:
    """*value* as what fills *field*; a ``SettingsError`` that names the option as *name* where no field can hold it."""
    if not isinstance(value, str | int | float):
        raise SettingsError(name, f"{field} is neither text, number nor boolean", "write dates in quotes")
    if not field or (isinstance(value, float) and not math.isfinite(value)):
        raise SettingsError(name, f"{field or 'a field without a name'} cannot be {value!r}")
    return value
