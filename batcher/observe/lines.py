"""Lines on standard error: the one place through which log, progress and summary write there.

While a live view holds the terminal it takes the lines over and prints them above itself, so that neither spoils the
other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO


class Lines:
    """Writes whole lines to *stream*, at once.

    A standard error that was closed or cannot be written any more is no reason to stop a run: such lines are dropped.

    Attributes:
        as_event: writes the name of an event and its facts as one line, where programs read; None where people do.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.as_event: Callable[[str, Mapping[str, object]], str] | None = None
        self._printer: Callable[[str], None] = self._print

    def tell(self, event: str, text: str, facts: Mapping[str, object]) -> None:
        """Tell people *text*, and programs that *event* happened, with its *facts*."""
        self.write(text if self.as_event is None else self.as_event(event, facts))

    def note(self, text: str) -> None:
        """Tell a sentence that stands for itself."""
        self.tell("note", f"veetro-batch: {text}", {"detail": text})

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
