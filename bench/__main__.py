"""``python -m bench COMMAND``: what the program costs, how it bears a long run, and how it compares.

Each command is a module with a ``main(arguments)``, imported only when it is asked for, so that one command does not
need what another one needs. ``python -m bench COMMAND --help`` tells its options.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import NoReturn

COMMANDS = {
    "cost": "bench.cost",
    "exchange": "bench.exchange",
    "ledger": "bench.ledger",
    "fleet": "bench.pace.fleet",
    "footprint": "bench.footprint",
    "hot": "bench.hot",
    "micro": "bench.micro",
    "pace": "bench.pace.table",
    "peers": "bench.peers",
    "shards": "bench.shards",
    "sizes": "bench.sizes",
    "soak": "bench.soak",
    "torture": "bench.torture",
    "watching": "bench.watching",
}
"""Command → module; the first line of the module's docstring says what it does."""


def usage() -> str:
    """The commands, each with the first line of its module's docstring."""
    modules = {name: importlib.import_module(module) for name, module in COMMANDS.items()}
    told = [f"  {name:10} {(module.__doc__ or '').splitlines()[0]}" for name, module in modules.items()]
    return "\n".join(["usage: python -m bench COMMAND [options]", "", *told])


def _end(number: int, _frame: object) -> NoReturn:
    """Leave all that is under way, so that each ends the processes that it has started."""
    sys.exit(128 + number)


def main() -> int:
    """Run the command that the arguments name."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(usage(), file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    signal.signal(signal.SIGTERM, _end)
    command = importlib.import_module(COMMANDS[sys.argv[1]])
    ended: int | None = command.main(sys.argv[2:])
    return ended or 0


if __name__ == "__main__":
    sys.exit(main())
