"""Where a ledger is: the path of a file, or the address of a database in which it is one of many.

``postgresql://user@host/database?ledger=NAME&shard=I/N&division=K&lease=S``: name, shard, division and lease are ours,
all else is libpq's, which also takes what is left out from the environment (``PGPASSWORD``, ``PGPASSFILE``,
``PGSERVICE``, …).
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from batcher.core.fingerprint import display_name

_SCHEME = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_SECRETS = ("password", "sslpassword")
"""Parameters of libpq that hold one."""
_NAME = "default"
_LEASE_S = 30.0
_MOST_DIVISIONS = 9999
_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


def is_database(ledger: str) -> bool:
    """Whether *ledger* is the address of a database, and not a path."""
    return _SCHEME.match(ledger) is not None


class Address(NamedTuple):
    """Which ledger in which database.

    Attributes:
        connection: the address without what is ours, for libpq; it may hold a password.
        name: of the run's ledgers.
        shard: whose ledger, as ``I/N``; None for all of them, or the one of a run that has no shards.
        lease: seconds for which a writer that is not heard of keeps others out.
        division: which of the run's divisions into shards, the first one is 1; None for the present one.
    """

    connection: str
    name: str
    shard: str | None
    lease: float
    division: int | None = None

    @classmethod
    def read(cls, text: str) -> Address:
        """From what people write.

        Raises:
            ValueError: it is none; the reason quotes nothing of it.
        """
        if not text.isprintable() or " " in text:
            raise ValueError("it holds a blank or a control character")
        base, _, query = text.partition("?")
        ours = {"ledger": _NAME, "shard": "", "lease": str(_LEASE_S), "division": ""}
        theirs = []
        for parameter in filter(None, query.split("&")):
            name, _, value = parameter.partition("=")
            if name in ours:
                ours[name] = unquote(value)
            else:
                theirs.append(parameter)
        if not ours["ledger"].strip() or not ours["ledger"].isprintable():
            raise ValueError("ledger= needs a name")
        connection = f"postgresql://{base.partition('://')[2]}"
        return cls(
            f"{connection}?{'&'.join(theirs)}" if theirs else connection,
            ours["ledger"],
            _shard(ours["shard"]) if ours["shard"] else None,
            _seconds(ours["lease"]),
            _division(ours["division"]) if ours["division"] else None,
        )

    def __str__(self) -> str:
        return self.text(shown_for="")

    def text(self, *, shown_for: str | None = None) -> str:
        """The whole address; without its password, or with *shown_for* in its place where that is given."""
        base, _, query = self.connection.partition("?")
        parameters = query.split("&") if query else []
        if shown_for is not None:
            base, parameters = _without_secrets(base, parameters, shown_for)
        if self.name != _NAME:
            parameters.append(f"ledger={quote(self.name, safe='')}")
        if self.shard is not None:
            parameters.append(f"shard={self.shard}")
        if self.division is not None:
            parameters.append(f"division={self.division}")
        if self.lease != _LEASE_S:
            parameters.append(f"lease={self.lease:g}")
        return f"{base}?{'&'.join(parameters)}" if parameters else base

    @property
    def place(self) -> str:
        """Which ledger it is, the same however it is written."""
        return self._replace(lease=_LEASE_S).text(shown_for="")


def of_shard(ledger: str, shard: str | None) -> str:
    """The ledger of *shard*, ``I/N``, where *ledger* is in a database and names none itself; else as it is."""
    if shard is None or not is_database(ledger):
        return ledger
    return ledger if names_shard(ledger) else Address.read(ledger)._replace(shard=shard).text()


def names_shard(ledger: str) -> bool:
    """Whether *ledger* is an address that names the ledger of one shard."""
    return is_database(ledger) and Address.read(ledger).shard is not None


@cache
def ledger_name(ledger: str, *, mask: str = "") -> str:
    """The path or address as people may see it: without its password, or with *mask* in its place."""
    if not is_database(ledger):
        return display_name(ledger)
    try:
        return Address.read(ledger).text(shown_for=mask)
    except ValueError:
        return "postgresql://…"


def holds_password(ledger: str) -> bool:
    """Whether *ledger* is an address that holds a password."""
    return is_database(ledger) and ledger_name(ledger, mask="***") != ledger_name(ledger)


def _without_secrets(base: str, parameters: list[str], mask: str) -> tuple[str, list[str]]:
    scheme, _, rest = base.partition("://")
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    hidden = f":{mask}" if colon and mask else ""
    kept = [
        f"{parameter.partition('=')[0]}={mask}" if _is_secret(parameter) else parameter
        for parameter in parameters
        if mask or not _is_secret(parameter)
    ]
    return f"{scheme}://{name}{hidden}{at}{place}", kept


def _is_secret(parameter: str) -> bool:
    return unquote(parameter.partition("=")[0]).lower() in _SECRETS


def _shard(text: str) -> str:
    """As ledgers are called: without zeros in front."""
    found = _SHARD.fullmatch(text)
    if found is None or int(found[1]) >= int(found[2]):
        raise ValueError("shard= is not I/N, such as 3/16")
    return f"{int(found[1])}/{int(found[2])}"


def _division(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _MOST_DIVISIONS:
        raise ValueError(f"division= is not from 1 to {_MOST_DIVISIONS}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:  # noqa: PLR2004 - said below
        raise ValueError("lease= is not from 1 to 3600 seconds")
    return seconds
