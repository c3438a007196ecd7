"""Lines on standard error: the one place through which log, progress and summary write there.

While a live view holds the terminal it takes the lines over and prints them above itself, so that neither spoils the
other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TextIO


class Lines:
    """Writes whole lines to *stream*, at once.

    A standard error that was closed or cannot be written any more is no reason to stop a run: such lines are dropped.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._printer: Callable[[str], None] = self._print

    def write(self, text: str) -> None:
        """Write *text*, one line or several, and end it with a line break."""
        with contextlib.suppress(OSError, ValueError):
            self._printer(text.removesuffix("\n"))

    @contextlib.contextmanager
    def through(self, printer: Callable[[str], None]) -> Iterator[None]:
        """Hand all lines to *printer* within the block."""
        self._printer = printer
        try:
            yield
        finally:
            self._printer = self._print

    def _print(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()
