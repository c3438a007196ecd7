"""Opening records again that have their outcome, to be submitted once more.

A record that is open again has left ``record`` for ``reopened``, with what its last result line said (``Origin``) and,
where the ledger has it whole, its line. It returns by its next outcome, in one commit with a new result line that tells
where it comes from. Until then every run on the ledger knows it for one to be sent, however often it is killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batcher.core.reject import Reject, read_reject
from batcher.core.result import Origin
from batcher.errors import LedgerRefused
from batcher.flow.ledger.rows import OpenAgain, mark, place
from batcher.flow.ledger.store import Store


def rejects(store: Store, wanted: set[int] | None = None) -> Iterator[tuple[int, Reject]]:
    """The rejects lines of *store* with their records' ordinals, in the order of their commits.

    Args:
        store: the ledger.
        wanted: only of these records.

    Raises:
        LedgerRefused: one is no rejects line.
    """
    for told in store.told("rejects"):
        for ordinal, line in told:
            if wanted is not None and ordinal not in wanted:
                continue
            try:
                yield ordinal, read_reject(line)
            except ValueError as error:
                raise LedgerRefused(f"the ledger {store.name} is damaged: it holds what is no rejects line") from error


def open_again(store: Store, found: Iterable[tuple[int, Reject, Origin]]) -> None:
    """Open records again that have their outcome, all or none.

    Args:
        store: the ledger, to be written.
        found: ordinal, rejects line and what is to be told of it as its origin.

    Raises:
        LedgerRefused: a rejects line is not that of its record.
    """
    store.open_again(
        OpenAgain(ordinal, mark(reject.hash, reject.origin.line), origin.write(), whole(store, reject))
        for ordinal, reject, origin in found
    )


def whole(store: Store, reject: Reject) -> bytes | None:
    """The line of a record of *store*; None where that has only its beginning.

    Raises:
        LedgerRefused: it is not the line that the hash was made of.
    """
    if reject.truncated:
        return None
    if not reject.is_original:
        raise LedgerRefused(f"the ledger {store.name} is damaged: the record of {place(reject.origin)} is another one")
    return reject.raw
