"""What resubmit submits: records of a ledger that are opened again, or the records of rejects lines."""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from batcher.errors import SettingsError
from batcher.flow.ledger.address import Address, is_database, ledger_name
from batcher.flow.ledger.selection import Left
from batcher.observe.words import plural
from batcher.settings import Settings

_SQLITE = b"SQLite format 3\0"
"""The first bytes of a ledger, which is a database of SQLite: https://www.sqlite.org/fileformat.html."""


class Again(NamedTuple):
    """Records are submitted once more.

    Attributes:
        of_ledger: they come from the ledger itself; else the inputs are files of rejects lines.
        allow_stale: also those of whose key a later one was delivered.
    """

    of_ledger: bool
    allow_stale: bool = False


def is_ledger(path: str) -> bool:
    """Whether *path* is a ledger rather than a rejects file; what cannot be read is for others to tell."""
    if is_database(path):
        return True
    try:
        if path == "-" or not Path(path).is_file():  # to open a pipe would take what is in it
            return False
        with Path(path).open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def of_ledger(settings: Settings, ledger: str) -> Settings:
    """*settings* for submitting again what *ledger* holds.

    Raises:
        SettingsError: they name another ledger, or records of an input.
    """
    kept = ledger if settings.ledger is None else settings.ledger
    if _place(kept) != _place(ledger):
        shown, wanted = ledger_name(kept), ledger_name(ledger)
        problem = f"{shown} is another ledger than {wanted}, whose records are submitted again"
        raise SettingsError("--ledger", problem, "leave it out: the outcomes are kept where the records come from")
    for flag, given in (("--skip", settings.skip), ("--limit", settings.limit is not None)):
        if given:
            raise SettingsError(flag, "no input is read, the records come from the ledger", "leave it out")
    # The same one, but a password may stand in that of the environment.
    return dataclasses.replace(settings, ledger=kept if is_database(kept) else ledger)


def _place(ledger: str) -> str:
    return Address.read(ledger).place if is_database(ledger) else os.path.realpath(ledger)


def of_rejects(settings: Settings) -> Settings:
    """*settings* for submitting again what rejects lines carry.

    Raises:
        SettingsError: they ask for a shard of it.
    """
    if settings.shard is not None:
        problem = "the lines of a rejects file are numbered, and submitted, as one"
        raise SettingsError("--shard", problem, "leave it out, or name the ledger of the shard")
    return settings


def notes(left: Left, ledger: str) -> Iterator[str]:
    """What is not submitted again, and what to do about it, in words."""
    if left.held:
        yield (
            f"{plural(left.held, 'record')} in doubt held back: find out what became of them and tell it with "
            f"veetro-batch settle {quote(ledger)} --line N --applied or --not-applied, or send them again with "
            "--in-doubt resend"
        )
    if left.stale:
        more = ", …" if left.stale > len(left.stale_lines) else ""
        yield (
            f"{plural(left.stale, 'record')} refused as stale, because a later one of the same key was delivered "
            f"({', '.join(left.stale_lines)}{more}): --allow-stale sends them all the same"
        )
    if left.cut:
        yield (
            f"{plural(left.cut, 'record')} not whole in the ledger, which keeps 64 KiB of a line: correct and submit "
            "them from their input; those in doubt can be settled"
        )
    if left.crashed:
        yield (
            f"{plural(left.crashed, 'record')} may have been sent when a run was killed, and only the input has them: "
            "run the command of that run again"
        )
