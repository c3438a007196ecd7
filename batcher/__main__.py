"""The program's beginning; ``python -m batcher`` is ``veetro-batch``."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys

_INTERRUPTED = 6


def main() -> int:
    """Run the command line. A signal that comes while the program is still being loaded ends it as any other does."""
    # Loading makes 70,000 objects, which stay: Python would look through them for garbage again and again.
    gc.set_threshold(100_000, 20, 50)
    try:
        # As process 1 of a container SIGTERM would else be ignored until then.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from batcher.cli import main as begin  # noqa: PLC0415 - so that signals are heard while it is loaded

        return _left_alone(begin())
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            os.write(2, b"veetro-batch: interrupted\n")
        os._exit(_INTERRUPTED)  # nothing was begun, and modules that are half loaded need not be ended in order


def _left_alone(code: int) -> int:
    """*code*, with which the process ends here and now where objects were read.

    obstore's threads may still want the interpreter for a moment. One that asks for it while it is being taken down is
    ended by it (before Python 3.14), which Rust does not survive: SIGABRT, after everything was done.
    """
    if "obstore" in sys.modules:
        with contextlib.suppress(OSError):  # what cannot be printed is told of as ever, at the end of the interpreter
            for stream in filter(None, (sys.stdout, sys.stderr)):  # there is none where it was closed
                stream.flush()
            os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
