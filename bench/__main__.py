"""``python -m bench cost``: CPU microseconds that one delivered record costs, against a constant-answer server.

The program runs as a user would run it, on the first core, with results to a file and metrics on; what is counted is
user and system time of its whole process, its start subtracted by comparing a long run with a short one.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.constant import RECORD, constant_server


def cpu_seconds(records: Path, url: str, *options: str) -> float:
    """CPU seconds, user and system, of one run of the program over *records*."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["-m", "batcher", str(records), "--endpoint", url, "--order-by", "none", "--progress", "plain"]
    subprocess.run(
        ["taskset", "-c", "0", sys.executable, *command, "--results", str(records.with_suffix(".out")), *options],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cost(rounds: int, count: int) -> None:
    """Print the median cost over *rounds* of *count* records."""
    with tempfile.TemporaryDirectory() as folder, constant_server() as url:
        long, short = Path(folder) / "long.ndjson", Path(folder) / "short.ndjson"
        long.write_bytes(RECORD * count)
        short.write_bytes(RECORD * (count // 10))
        options = ("--concurrency", "64", "--metrics-port", "0")
        figures = []
        for _ in range(rounds):
            seconds = cpu_seconds(long, url, *options) - cpu_seconds(short, url, *options)
            figures.append(seconds / (count - count // 10) * 1e6)
        spread = f"{min(figures):.0f} to {max(figures):.0f}"
        print(f"{statistics.median(figures):.0f} µs CPU a delivered record (median of {rounds} rounds, {spread})")
        print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=["cost"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=30_000)
    arguments = parser.parse_args()
    cost(arguments.rounds, arguments.records)


if __name__ == "__main__":
    main()
