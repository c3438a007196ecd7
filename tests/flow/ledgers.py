"""What a ledger should hold, kept the plain way, and processes that write one until they are killed."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from batcher.core.verdict import Outcome
from batcher.errors import OutputFailed
from batcher.flow.ledger.access import hold, open_to_read
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.rows import Known, Reopened
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.flow.ledger.store import Store

_ROOT = Path(__file__).parents[2]
FINAL = (Outcome.DELIVERED, Outcome.REJECTED, Outcome.INVALID, Outcome.IN_DOUBT)
ALL = (-(2**63), 2**63 - 1)
"""Ordinals that stand for no bound."""
OUTPUT = "/results.ndjson"
_NOBODY = 65534
"""A user without rights."""


@dataclass
class Model:
    """What a ledger holds after the commits that were applied to it."""

    records: dict[int, Known] = field(default_factory=dict)
    reopened: dict[int, Reopened] = field(default_factory=dict)
    windows: dict[int, dict[int, int]] = field(default_factory=dict)
    results: bytes = b""
    rejects: bytes = b""
    accounted: int | None = None
    limit: int | None = None

    def apply(self, commit: Commit) -> None:
        for number, window in commit.windows.items():
            self.windows[number] = dict(window)
            if not window:
                del self.windows[number]
        for outcome, records in commit.records.items():
            self.records |= {ordinal: Known(line, outcome) for ordinal, line in records.items()}
        self.reopened = {ordinal: each for ordinal, each in self.reopened.items() if ordinal not in commit.closed}
        self.results += b"".join(commit.results)
        self.rejects += b"".join(commit.rejects)
        self.accounted = commit.accounted.get(OUTPUT, self.accounted)
        self.limit = commit.limit if commit.limit is not None else self.limit

    def after(self, commit: Commit) -> Model:
        model = deepcopy(self)
        model.apply(commit)
        return model


def held(store: Store) -> Model:
    """What *store* holds."""
    limit = store.value("limit")
    assert limit is None or isinstance(limit, int)
    return Model(
        records=store.known(*ALL),
        reopened=store.reopened(*ALL),
        windows=store.windows(),
        results=b"".join(store.lines("results")),
        rejects=b"".join(store.lines("rejects")),
        accounted=store.accounted(OUTPUT),
        limit=limit,
    )


def held_at(ledger: str | Path) -> Model:
    """What a ledger holds, for a reader, at one instant."""
    with opened(ledger) as store, store.snapshot():
        return held(store)


@contextmanager
def opened(ledger: str | Path, *, create: bool = False, write: bool = False) -> Iterator[Store]:
    """To be read; or to be written by who has the right to it."""
    with ExitStack() as stack:
        if create or write:
            held_by_us = stack.enter_context(hold(str(ledger), create=create))
            yield stack.enter_context(closing(held_by_us.open()))
        else:
            yield stack.enter_context(closing(open_to_read(str(ledger))))


@contextmanager
def opened_file(path: Path, *, create: bool = False, write: bool = False) -> Iterator[SqliteStore]:
    """A ledger's file, without its lock."""
    with closing(SqliteStore(str(path), create=create, write=write)) as store:
        yield store


def kinds_of_store() -> tuple[type[Store], ...]:
    """All that there are."""
    from batcher.flow.ledger.postgresql.store import PostgresStore

    return SqliteStore, PostgresStore


@contextmanager
def powerless() -> Iterator[None]:
    """As a user whom permissions concern: root writes to read-only files as well."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def filled(ledger: str | Path, lines: int, size: int) -> None:
    """A ledger of so many commits with one incompressible line of so many bytes each."""
    with opened(ledger, create=True) as store:
        for _ in range(lines):
            store.commit(Commit(results=[os.urandom(size)]))


@contextmanager
def read_only_directory() -> Iterator[Path]:
    """A directory that everybody may enter and only its owner may write; a ledger of three commits is in it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with opened_file(directory / "ledger", create=True) as store:
            for commit in islice(commits(1), 3):
                store.commit(commit)
        (directory / "ledger").chmod(0o444)
        directory.chmod(0o555)
        yield directory
        directory.chmod(0o755)


def line(ordinal: int, size: int) -> bytes:
    """A result line that no compression makes small."""
    return b'{"line":%d,"noise":"%s"}\n' % (ordinal, random.Random(ordinal).randbytes(size).hex().encode())


def commits(seed: int, size: int = 100) -> Iterator[Commit]:
    """The commits of an endless run: windows are declared, sent, answered in any order; some records were invalid."""
    rnd = random.Random(seed)
    windows: dict[int, dict[int, int]] = {}
    ordinal = written = 0
    for number in range(1, sys.maxsize):
        commit = Commit(limit=rnd.choice([None, number]), accounted={OUTPUT: written} if number % 3 else {})
        first, ordinal = ordinal + 1, ordinal + rnd.randrange(1, 20)
        windows[number] = {each: rnd.getrandbits(64) - 2**63 for each in range(first, ordinal + 1)}
        touched = {number}
        open_records = [(window, each) for window, records in windows.items() for each in records]
        for window, each in rnd.sample(open_records, len(open_records) // 2):
            outcome = rnd.choice(FINAL)
            commit.records.setdefault(outcome, {})[each] = windows[window].pop(each)
            commit.results.append(line(each, size))
            commit.results_of.append(each)
            if outcome is not Outcome.DELIVERED:
                commit.rejects.append(line(-each, size))
                commit.rejects_of.append(each)
            touched.add(window)
        commit.windows = {window: dict(windows[window]) for window in touched}
        windows = {window: records for window, records in windows.items() if records}
        written += sum(map(len, commit.results))
        yield commit


def replayed(count: int) -> Model:
    """What the first *count* commits of a writer process amount to."""
    model = Model()
    for commit in islice(commits(1), count):
        model.apply(commit)
    return model


def writer(ledger: str | Path, begin: int = 0, most: int = 0) -> subprocess.Popen[str]:
    """A process that writes a ledger: see ``_write``."""
    return _process("write", str(ledger), str(begin), str(most))


def holder(ledger: str | Path) -> subprocess.Popen[str]:
    """A process that holds the right to write a ledger: see ``_hold``."""
    return _process("hold", str(ledger))


def _process(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.flow.ledgers", *arguments]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _write(ledger: str, begin: str, limit: str) -> None:
    """Commit from number *begin* on, tell each one that is durable; files may grow to *limit* bytes."""
    store = hold(ledger, 60.0, create=True).open()  # a database may yet have to learn that the last writer was killed
    most = int(limit) or resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    for number, commit in enumerate(commits(1)):
        if number < int(begin):
            continue
        try:
            store.commit(commit)
        except OutputFailed as error:
            print(f"failed {error}", flush=True)  # noqa: T201 - told to the test
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            store.commit(commit)  # the same again is taken as if nothing had been
            print(number, flush=True)  # noqa: T201 - as above
            return
        print(number, flush=True)  # noqa: T201 - as above


def _hold(ledger: str) -> None:
    """Hold the right to write until told to let go of it."""
    with hold(ledger, create=True):
        print("held", flush=True)  # noqa: T201 - as above
        sys.stdin.readline()


if __name__ == "__main__":
    _write(*sys.argv[2:]) if sys.argv[1] == "write" else _hold(*sys.argv[2:])
