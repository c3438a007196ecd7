"""The settle command: a person's word on records in doubt."""

from __future__ import annotations

import contextlib
from shlex import quote

from batcher.errors import LedgerInUse, SettingsError
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.address import ledger_name
from batcher.flow.ledger.rows import place
from batcher.flow.ledger.settle import find, settle
from batcher.observe.words import plural


def settle_command(ledger: str, lines: tuple[int, ...] | None, name: str | None, words: frozenset[str]) -> str:
    """Give the records at *lines* a person's word, all of them or none, and tell what was done.

    Args:
        ledger: its path or address.
        lines: physical lines within their input.
        name: of the input, where there are several.
        words: ``applied`` or ``not-applied``.

    Raises:
        SettingsError: it is not clear what to do, or a record is not in doubt.
        LedgerInUse: a run is writing it.
        LedgerRefused: it is no ledger, or a damaged one.
        OutputFailed: it cannot be written.
    """
    if lines is None:
        raise SettingsError("--line", "is missing", "name the lines of the records, such as --line 17,40")
    if len(words) != 1:
        problem = "are given both" if words else "are both missing"
        raise SettingsError("--applied and --not-applied", problem, "give the one that is so")
    applied, shown = "applied" in words, ledger_name(ledger)
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(hold(ledger, closed=True))
        except LedgerInUse as error:
            raise LedgerInUse(f"a run is writing the ledger {shown}: settle its records once it has ended") from error
        store = stack.enter_context(contextlib.closing(held.open()))
        records = find(store, lines, name)
        settle(store, records, applied=applied)
    what = "delivered" if applied else "open again"
    text = [f"{place(record.origin)}, {record.origin.kind}: {what}" for record in records]
    text.append(f"{plural(len(records), 'record')} settled as {'applied' if applied else 'not applied'}")
    if not applied:
        text[-1] += f"; the command of the run, or veetro-batch resubmit {quote(shown)}, sends what is open again"
    return "".join(f"{line}\n" for line in text)
