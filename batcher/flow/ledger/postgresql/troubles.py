"""What PostgreSQL's complaints mean to people, and which of them pass by themselves."""

from __future__ import annotations

import psycopg

from batcher.errors import LedgerRefused, OutputFailed, RunAborted

_PASSING = {
    "57P01",  # shut down by an administrator, or this session was ended
    "57P02",  # shut down by a crash
    "57P03",  # starting up
    "57P05",  # idle for too long
    "25P03",  # idle in a transaction for too long
    "25006",  # read-only: failed over, and this is no longer the one that is written
    "53300",  # too many connections
    "40001",
    "40P01",  # deadlock
    "55P03",  # a lock was not to be had in time
}
_TROUBLES = {
    "53100": "its disk is full; make room and run the same command again, what was committed is safe",
    "53200": "it has no memory left",
    "42501": "access is denied",
    "28P01": "the password is refused, or missing: see PGPASSWORD and PGPASSFILE",
    "28000": "the login is refused",
    "3D000": "there is no such database",
}
_MISSING = {"3F000", "42P01", "42703", "42883"}


def passes(error: psycopg.Error) -> bool:
    """Whether the same may work after a while, on a new connection."""
    state = error.sqlstate
    if state is None:  # libpq's own, about the connection
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state in _PASSING or state.startswith("08")


def in_words(error: psycopg.Error, name: str, what: str) -> RunAborted | None:
    """*error* about the ledger *name* as ours, and *what* it cannot be, ``read`` or ``written``; None for a bug."""
    state, text = error.sqlstate, " ".join(str(error).split())
    if state in _TROUBLES:
        return OutputFailed(f"the ledger {name} cannot be {what}: {_TROUBLES[state]} ({text})")
    if state in _MISSING:
        return LedgerRefused(f"the ledger {name} is damaged, or of another program: {text}")
    if passes(error):
        return OutputFailed(f"the ledger {name} cannot be {what}: {text}")
    if state is None or state.startswith("42"):
        return None
    if state.startswith(("22", "23")):
        return LedgerRefused(f"the ledger {name} is damaged: {text}")
    return OutputFailed(f"the ledger {name} cannot be {what}: {text}")
