"""A PostgreSQL server of the tests' own: on loopback, on a port of its own, gone with the tests."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg
import pytest

from batcher.flow.ledger.address import Address
from tests.prometheus.server import PATIENCE_S, lasting_port

USER, PASSWORD, DATABASE = "veetro", "open sesame/1", "ledgers"
_QUOTED = "open%20sesame%2F1"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "password_encryption": "md5",  # the other way is made to take long
    "log_min_messages": "fatal",
}


def binaries() -> Path | None:
    """Where Debian has the server's programs, the newest; or where they are on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else None if on_path is None else Path(on_path).parent


def needed() -> Path:
    """The same. The test is skipped without it, but fails in CI."""
    found = binaries()
    if found is None:
        reason = "needs PostgreSQL's server: tests/postgresql/apt-packages.txt"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Server:
    """A server with one database, whose user logs in with a password; its *binaries* refuse to be run by root."""

    def __init__(self, programs: Path, folder: Path, *, durable: bool = False) -> None:
        self._programs = programs
        self._place = folder / "data"
        self._as_user: tuple[str, ...] = ()
        if os.geteuid() == 0:
            self._as_user = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
            shutil.chown(folder, "nobody", "nogroup")
        self.port = lasting_port()
        secret = folder / "password"
        secret.write_text(f"{PASSWORD}\n")
        secret.chmod(0o644)
        how = ("--auth=md5", "--no-sync", "--encoding=UTF8", "--locale=C", f"--username={USER}")
        self._run("initdb", *how, f"--pwfile={secret}", "-D", str(self._place))
        settings = {
            **_SETTINGS,
            "fsync": "on" if durable else "off",
            "port": str(self.port),
            "unix_socket_directories": str(folder),
        }
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        with (self._place / "postgresql.conf").open("a") as file:
            file.write(text)
        self.start()
        with psycopg.connect(self.url.replace(f"/{DATABASE}", "/postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {DATABASE}")

    @property
    def url(self) -> str:
        """Of the database, with the password."""
        return f"postgresql://{USER}:{_QUOTED}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def bare_url(self) -> str:
        """The same without it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def new_ledger(self, lease: float | None = None) -> str:
        """The address of a ledger that is not there yet."""
        return f"{self.url}?ledger={secrets.token_hex(8)}" + ("" if lease is None else f"&lease={lease:g}")

    def start(self) -> None:
        self._control("start")

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-m", mode)

    def restart(self) -> None:
        """As after a crash: no session is told, and what was not committed is gone."""
        self._control("restart", "-m", "immediate")

    def freeze(self) -> None:
        """No process of it does anything more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def connect(self, url: str | None = None) -> psycopg.Connection:
        """A session of a person, who sees the tables of the ledgers."""
        return psycopg.connect(url or self.url, autocommit=True, options="-csearch_path=veetro_batch")

    @contextmanager
    def another_database(self, name: str) -> Iterator[str]:
        """Its address, until the block is left."""
        with self.connect() as db:
            db.execute(f"CREATE DATABASE {name}".encode())
            try:
                yield self.url.replace(f"/{DATABASE}", f"/{name}")
            finally:
                db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def copy(self, ledger: str, other: str) -> None:
        """Make the ledger *other*, which holds what *ledger* does."""
        names = [Address.read(each).name for each in (other, ledger)]
        with self.connect() as db, db.transaction():
            query = "INSERT INTO ledger (name, shard, commits) SELECT %s, shard, commits FROM ledger WHERE name = %s"
            db.execute(query, names)
            for table in ("meta", "record", "reopened", "intent", "lines", "output", "run"):
                query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = %s"
                found = [name for (name,) in db.execute(query, (table, "veetro_batch")) if name != "ledger"]
                columns = ", ".join(found)
                db.execute(
                    f"INSERT INTO {table} (ledger, {columns}) SELECT (SELECT id FROM ledger WHERE name = %s), {columns}"
                    f" FROM {table} WHERE ledger = (SELECT id FROM ledger WHERE name = %s)".encode(),
                    names,
                )

    @property
    def runs(self) -> bool:
        return (self._place / "postmaster.pid").exists()

    def _signal(self, number: signal.Signals) -> None:
        leader = int((self._place / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(["pgrep", "-P", str(leader)], check=False, capture_output=True, text=True).stdout
        for process in (leader, *map(int, children.split())):
            os.kill(process, number)

    def _control(self, *what: str) -> None:
        patience = ("-w", "-t", str(int(PATIENCE_S)))
        self._run("pg_ctl", *what, "-D", str(self._place), *patience, "-l", str(self._place / "log"))

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        done = subprocess.run(command, check=False, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert done.returncode == 0, (command, done.stderr.decode())


class Served:
    """A ledger in the database of a *server*; the password is in the environment within the block."""

    def __init__(self, server: Server, lease: float | None = None) -> None:
        self._server = server
        bare, query = server.bare_url, server.new_ledger(lease).partition("?")[2]
        self.ledger = f"{bare}?{query}"
        self._patch = pytest.MonkeyPatch()

    def restart(self) -> None:
        """Restart the database as after a crash."""
        self._server.restart()

    def __enter__(self) -> Self:
        self._patch.setenv("PGPASSWORD", PASSWORD)
        return self

    def __exit__(self, *_error: object) -> None:
        self._patch.undo()


@contextmanager
def serving(programs: Path, *, durable: bool = False) -> Iterator[Server]:
    """A server, until the block is left; unless it is to be *durable*, its disk may lose what the machine forgets."""
    with tempfile.TemporaryDirectory() as name:
        server = Server(programs, Path(name), durable=durable)
        try:
            yield server
        finally:
            if server.runs:
                server.stop("immediate")
