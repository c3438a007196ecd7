# ruff: noqa: PLC0415 - psycopg is an extra: its room is entered where a database is named
"""Who may read a ledger and who may write it, whatever kind it is: each kind has a room of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from batcher.errors import OutputFailed, SettingsError
from batcher.flow.ledger.address import Address, is_database
from batcher.flow.ledger.moving import Earlier
from batcher.flow.ledger.sqlite.lock import Lock
from batcher.flow.ledger.sqlite.lock import standing_still as file_standing_still
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.flow.ledger.store import Store

EXTRA = "pip install 'veetro-batch[postgresql]'"


class Hold(Protocol):
    """The right to write a ledger, which one has at a time."""

    def open(self) -> Store:
        """The ledger, for writing under this right."""
        ...

    def read(self) -> Store:
        """The ledger, for its writer to read: all that it has committed is there."""
        ...

    def earlier(self) -> Earlier | None:
        """What the ledgers of earlier divisions of the run still have, where they have anything."""
        ...

    def on_lost(self, lost: Callable[[OutputFailed], None]) -> None:
        """Tell *lost*, on another thread, once another run has taken the right over."""
        ...

    def close(self) -> None:
        """Let others write."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def hold(
    ledger: str,
    wait: float = 0.0,
    *,
    create: bool = False,
    bound: Mapping[str, str] | None = None,
    closed: bool = False,
) -> Hold:
    """The right to write *ledger*, from now on until it is let go of.

    Args:
        ledger: path or address.
        wait: seconds to wait for another run to end; blocks.
        create: make it where there is none; in a database also as the first one of another division into shards.
        bound: what the run is bound to, for that case.
        closed: it may be one of an earlier division, which no run writes any more.

    Raises:
        LedgerInUse: another run has it still.
        LedgerRefused: there is none, or it is no ledger of this format, or the run is divided otherwise.
        OutputFailed: it cannot be opened or made.
        SettingsError: what a database needs is not installed.
    """
    if not is_database(ledger):
        return Lock(ledger, wait, create=create)
    with _needing_the_extra():
        from batcher.flow.ledger.postgresql.lease import Lease
    return Lease(Address.read(ledger), wait, create=create, bound=bound, closed=closed)


def open_to_read(ledger: str) -> Store:
    """The ledger, read-only, also while another process writes it.

    Raises:
        LedgerRefused: there is none, or it is no ledger of this format.
        OutputFailed: it cannot be read.
        SettingsError: what a database needs is not installed.
    """
    if not is_database(ledger):
        return SqliteStore(ledger)
    with _needing_the_extra():
        from batcher.flow.ledger.postgresql.reading import open_store
    return open_store(Address.read(ledger))


def standing_still(ledger: str) -> AbstractContextManager[bool]:
    """Whether no run writes *ledger*; if so none can begin to within the block.

    Raises:
        OutputFailed: nobody can tell.
    """
    if not is_database(ledger):
        return file_standing_still(ledger)
    with _needing_the_extra():
        from batcher.flow.ledger.postgresql.standing import standing_still as lease_standing_still
    return lease_standing_still(Address.read(ledger))


def is_written(ledger: str) -> bool:
    """Whether a run writes *ledger*.

    Raises:
        OutputFailed: nobody can tell.
    """
    if not is_database(ledger):
        with file_standing_still(ledger) as still:
            return not still
    with _needing_the_extra():
        from batcher.flow.ledger.postgresql.standing import is_written as is_leased
    return is_leased(Address.read(ledger))


def members(ledger: str, *, empty: bool = False) -> tuple[str, ...]:
    """The ledgers that *ledger* names: itself, or those of all shards that a database has under its name.

    Behind them come those of earlier divisions that hold something still, or, with *empty*, all of these.

    Raises:
        LedgerRefused: there is none.
        OutputFailed: the database cannot be read.
    """
    if not is_database(ledger) or (address := Address.read(ledger)).shard is not None:
        return (ledger,)
    with _needing_the_extra():
        from batcher.flow.ledger.postgresql.reading import list_members
    return list_members(address, empty=empty)


@contextlib.contextmanager
def open_together(ledgers: Sequence[str], *, empty: bool = False) -> Iterator[list[tuple[str, Store]]]:
    """All that *ledgers* name, with where each is, to be read; where they are in one database as of one instant.

    See ``members`` for *empty*.

    Raises:
        LedgerRefused: there is none, or it is no ledger of this format.
        OutputFailed: one cannot be read.
        SettingsError: what a database needs is not installed.
    """
    addresses = [Address.read(ledger) for ledger in ledgers if is_database(ledger)]
    with contextlib.ExitStack() as stack:
        if len(addresses) == len(ledgers) and len({address.connection for address in addresses}) == 1:
            with _needing_the_extra():
                from batcher.flow.ledger.postgresql.reading import open_together as open_of_one_instant
            yield list(stack.enter_context(open_of_one_instant(addresses, empty=empty)))
            return
        places = [member for ledger in ledgers for member in members(ledger, empty=empty)]
        yield [(place, stack.enter_context(contextlib.closing(open_to_read(place)))) for place in places]


@contextlib.contextmanager
def _needing_the_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        problem = "this ledger is in a database, and what speaks to PostgreSQL is not installed"
        raise SettingsError("--ledger", problem, EXTRA) from error
