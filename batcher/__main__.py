"""``python -m batcher`` is ``veetro-batch``."""

from __future__ import annotations

import sys

from batcher.cli import main

if __name__ == "__main__":
    sys.exit(main())
