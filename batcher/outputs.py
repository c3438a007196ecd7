"""Where results go, as the settings ask for: never to a terminal, and never over what is read."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Sequence

from batcher.core.fingerprint import input_name
from batcher.errors import OutputFailed, SettingsError
from batcher.flow.output import LineFile
from batcher.flow.sink import FileSink
from batcher.settings import Settings


def open_outputs(settings: Settings) -> tuple[FileSink, dict[str, str]]:
    """Where results and rejects go, and the names of those that are files.

    Raises:
        OutputFailed: one cannot be opened.
        SettingsError: one is an input by another name, or two inputs are one.
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
        SettingsError: one is an input by another name, or two inputs are one.
    """
    results = settings.results
    if results == "-" and sys.stdout is None:
        raise OutputFailed("standard output is closed: name a file with --results")
    if results == "-" and os.isatty(1):
        results = time.strftime("./veetro-results-%Y%m%d-%H%M%S.ndjson")
    _refuse_inputs(settings)
    return {name: path for name, path in (("results", results), ("rejects", settings.rejects)) if path is not None}


def _refuse_inputs(settings: Settings) -> None:
    """No file is read twice, or written while it is read, by whatever name: a link, or a redirection of the shell."""
    inputs = _different_inputs(settings.inputs)
    for option, path in (
        ("--results", settings.results),
        ("--rejects", settings.rejects),
        ("--summary", settings.summary),
        ("--report", settings.report),
        ("--metrics-file", settings.metrics_file),
        ("--ledger", settings.ledger),
    ):
        if path is None:
            continue
        same = inputs.get(_identity(1 if path == "-" else path) or ())
        if same is not None:
            problem = f"{path} is the same file as INPUT {same}, which would be lost"
            raise SettingsError(option, problem, "give it a path of its own")


def _different_inputs(paths: Sequence[str]) -> dict[tuple[int, ...] | str, str]:
    """The name of each input, by what it is.

    One that is given twice would be sent twice, and no name would tell the result lines of the two readings apart.

    Raises:
        SettingsError: two names lead to one file or object.
    """
    inputs: dict[tuple[int, ...] | str, str] = {}
    for path in paths:
        what = _identity(0 if path == "-" else path) or path
        if what in inputs:
            first, again = input_name(inputs[what]), input_name(path)
            problem = f"{again} is named twice" if again == first else f"{again} is the same file as {first}"
            raise SettingsError("INPUT", problem, "its records would be sent twice; leave one out")
        inputs[what] = path
    return inputs


def _identity(file: str | int) -> tuple[int, ...] | None:
    """What is equal for two names of one regular file; None for all that is none."""
    try:
        found = os.stat(file)  # noqa: PTH116 - also of a descriptor
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
