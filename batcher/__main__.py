"""The program's beginning; ``python -m batcher`` is ``veetro-batch``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

_INTERRUPTED = 6


def main() -> int:
    """Run the command line. A signal that comes while the program is still being loaded ends it as any other does."""
    try:
        # As process 1 of a container SIGTERM would else be ignored until then.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from batcher.cli import main as begin  # noqa: PLC0415 - so that signals are heard while it is loaded

        return begin()
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            os.write(2, b"veetro-batch: interrupted\n")
        os._exit(_INTERRUPTED)  # nothing was begun, and modules that are half loaded need not be ended in order


if __name__ == "__main__":
    sys.exit(main())
