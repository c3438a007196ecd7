"""Where results go, as the settings ask for: never to a terminal, and never over what is read."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Sequence
from typing import TypeAlias

from batcher.core.fingerprint import input_name
from batcher.errors import OutputFailed, SettingsError
from batcher.flow.ledger.address import is_database
from batcher.flow.objects import is_object
from batcher.flow.output import LineFile
from batcher.flow.sink import FileSink
from batcher.settings import Settings

_Place: TypeAlias = "tuple[int, int] | str"
"""Device and inode of a file; the whole path, without links, of what is none yet."""

_LEDGER_FILES = ("", "-wal", "-shm", "-journal", ".lock")
"""What is behind a ledger's name in those of its files: SQLite's, and the one that keeps other runs out."""


def open_outputs(settings: Settings) -> tuple[FileSink, dict[str, str]]:
    """Where results and rejects go, and the names of those that are files.

    Raises:
        OutputFailed: one cannot be opened.
        SettingsError: one file has two uses, by two names of it.
    """
    files = name_outputs(settings)
    sink = FileSink(
        LineFile(files["results"]) if "results" in files else None,
        LineFile(files["rejects"]) if "rejects" in files else None,
    )
    return sink, {name: path for name, path in files.items() if path != "-"}


def name_outputs(settings: Settings) -> dict[str, str]:
    """The paths that results and rejects go to, where they go anywhere; a terminal is not flooded with them.

    Raises:
        OutputFailed: standard output is meant, and closed.
        SettingsError: one file has two uses, by two names of it.
    """
    results = settings.results
    if results == "-" and sys.stdout is None:
        raise OutputFailed("standard output is closed: name a file with --results")
    if results == "-" and os.isatty(1):
        results = time.strftime("./veetro-results-%Y%m%d-%H%M%S.ndjson")
    _refuse_shared(settings)
    return {name: path for name, path in (("results", results), ("rejects", settings.rejects)) if path is not None}


def refuse_ledgers(ledgers: Sequence[str], output: str, option: str) -> None:
    """Raise ``SettingsError`` where *output*, which *option* names, is a file of one of *ledgers*, by whatever name."""
    place = _place(output)
    for file in (os.path.realpath(ledger) for ledger in ledgers if not is_database(ledger)):
        if place is not None and place in {_place(f"{file}{suffix}") for suffix in _LEDGER_FILES}:
            raise SettingsError(option, f"{output} is the ledger, which would be lost", "give it a path of its own")


def _refuse_shared(settings: Settings) -> None:
    """No file is read twice, written while it is read, or written twice, by whatever name: links, or the shell's."""
    inputs = _different_inputs(settings.inputs)
    outputs: dict[_Place, str] = {}
    for option, path in (
        ("--results", settings.results),
        ("--rejects", settings.rejects),
        ("--summary", settings.summary),
        ("--report", settings.report),
        ("--metrics-file", settings.metrics_file),
        ("--ledger", settings.ledger),
    ):
        place = None if path is None else _place(path)
        if path is None or place is None:
            continue
        if place in inputs:
            problem = f"{path} is the same file as INPUT {inputs[place]}, which would be lost"
            raise SettingsError(option, problem, "give it a path of its own")
        if option != "--ledger" and settings.ledger is not None:
            refuse_ledgers([settings.ledger], path, option)
        if place in outputs:
            raise SettingsError(option, f"{path} is the same file as {outputs[place]}", "give it a path of its own")
        outputs[place] = option


def _different_inputs(paths: Sequence[str]) -> dict[_Place, str]:
    """The name of each input, by what it is.

    One that is given twice would be sent twice, and no name would tell the result lines of the two readings apart.

    Raises:
        SettingsError: two names lead to one file or object.
    """
    inputs: dict[_Place, str] = {}
    for path in paths:
        what = _place(path, stream=0) or path
        if what in inputs:
            first, again = input_name(inputs[what]), input_name(path)
            problem = f"{again} is named twice" if again == first else f"{again} is the same file as {first}"
            raise SettingsError("INPUT", problem, "its records would be sent twice; leave one out")
        inputs[what] = path
    return inputs


def _place(path: str, stream: int = 1) -> _Place | None:
    """Where *path* leads, ``-`` to the descriptor *stream*; None for what is no regular file.

    It is equal for all names of one file, also of one that is yet to be made.
    """
    if is_database(path) or is_object(path):
        return None
    try:
        found = os.stat(stream if path == "-" else path)  # noqa: PTH116 - also of a descriptor
    except OSError:
        return None if path == "-" else os.path.realpath(path)
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
