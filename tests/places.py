"""Where the ledgers of a test are, by the names that it has for them: files in its folder, or in a database."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, Protocol

from batcher.flow.ledger.address import Address, is_database
from batcher.flow.ledger.postgresql.reading import open_store
from tests.postgresql.server import Server

_COLUMNS = {
    "meta": "name, value",
    "record": "ordinal, hash, outcome",
    "reopened": "ordinal, hash, origin, raw, stale",
    "intent": "id, records",
    "lines": "id, results_end, rejects_end, results_of, rejects_of, results, rejects",
    "output": "path, accounted",
    "run": "id, started, updated, ended, exit_code, again, earlier, records, bytes, size, whole, account",
    "total": "outcome, records",
}
"""As a file has them; in a database each row also says whose it is."""


class Places(Protocol):
    """Puts ledgers in the place of their names, and names in the place of ledgers."""

    def of(self, name: str) -> str:
        """Where the ledger of this *name* is; what is no name of one is left as it is."""
        ...

    def argument(self, text: str) -> str:
        """An argument for the program."""
        ...

    def told(self, text: str) -> str:
        """What the program has printed, as it would speak of files."""
        ...


class Files:
    """In the present folder, by their names."""

    def of(self, name: str) -> str:
        return name

    def argument(self, text: str) -> str:
        return text

    def told(self, text: str) -> str:
        return text


class Rows:
    """In the database of a *server*; *names* are those of ledgers. The password is in the environment."""

    def __init__(self, server: Server, names: Sequence[str] = ("ledger",), token: str | None = None) -> None:
        self._server = server
        token = token or secrets.token_hex(6)
        self._places = {name: f"{server.bare_url}?ledger={token}-{name}" for name in names}
        # The same ledger, written otherwise.
        self._places |= {f"./{name}": f"{place}&lease=20" for name, place in self._places.items()}

    def of(self, name: str) -> str:
        return self._places.get(name, name)

    def argument(self, text: str) -> str:
        flag, equals, name = text.partition("=")
        return f"--ledger={self.of(name)}" if flag == "--ledger" and equals else self.of(text)

    def told(self, text: str) -> str:
        for name, place in reversed(self._places.items()):
            text = text.replace(quote(place), name).replace(place, name)
        return text


class Tampering(Protocol):
    """Does to one ledger what no run does, in SQLite's words."""

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any: ...


@contextmanager
def tampering(ledger: str | Path) -> Iterator[Tampering]:
    """With the rows of *ledger*, and of no other."""
    if not is_database(str(ledger)):
        with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
            yield db
        return
    with closing(open_store(Address.read(str(ledger)))) as store:
        yield _Rows(store)


class _Rows:
    def __init__(self, store: Any) -> None:
        self._db, self._ledger = store._session._connected(), store._ledger
        for table, columns in _COLUMNS.items():
            whose = f"WHERE ledger = {store._ledger}"
            self._db.execute(f"CREATE TEMP VIEW {table} AS SELECT {columns}, ledger FROM veetro_batch.{table} {whose}")
            self._db.execute(f"ALTER VIEW pg_temp.{table} ALTER COLUMN ledger SET DEFAULT {store._ledger}")
        self._db.execute("SET search_path = pg_temp, veetro_batch")

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        if statement.startswith("DROP TRIGGER"):  # it is everybody's
            statement = "SET session_replication_role = replica"
        if statement == "BEGIN IMMEDIATE":  # keeps others from writing
            self._db.execute("BEGIN")
            statement = f"SELECT FROM veetro_batch.ledger WHERE id = {self._ledger} FOR UPDATE"
        return self._db.execute(statement.replace("?", "%s"), values)
