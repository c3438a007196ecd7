# ruff: noqa: PLC0415 - what only a run needs is imported when one begins: help and errors do not wait for it
"""Standard streams: that they are there, what is printed for programs, and what is said to people."""

from __future__ import annotations

import contextlib
import os
import sys

from batcher.errors import OutputFailed

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""What would end a line, or steer a terminal: a file may be named so."""


def occupy() -> None:
    """Take the places of standard streams that are closed, as ``2>&-`` leaves them.

    Else the next socket or file that is opened would be descriptor 1 or 2, and what is printed would go there. Reading
    from 0 and writing to 1 stay errors; what people would read on 2 is dropped.
    """
    for fd, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, mode)  # the lowest descriptor that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open to the end


def say(text: str) -> int:
    """Print *text*; quietly less of it where the reader has gone, as ``| head`` does.

    Raises:
        OutputFailed: standard output is closed, or its disk is full.
    """
    if sys.stdout is None:
        raise OutputFailed("standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes again at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OutputFailed(f"standard output cannot be written: {error.strerror}") from error
    return 0


def complain(text: str, log_format: str = "text") -> None:
    """One line for people or, once it is known that programs read them, an event; if they still listen."""
    line = f"veetro-batch: {text.translate(_CONTROLS)}"
    if log_format == "json":
        from batcher.observe.logs import json_line

        line = json_line("failed", {"level": "error", "detail": text})
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
