"""What a record costs others, and what it costs us: CPU time on the same work, side by side.

Each contender runs in a process of its own on the first core, nginx with a constant valid answer on the second, with 64
connections. A round measures each once, so that a noisy minute hits all; told are the medians over the rounds. They go
into ``bench/results/`` as a table, as JSON and as a picture. Who cannot be started is named, with the reason.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.constant import constant_server
from bench.peers.contenders import CONTENDERS, Work
from bench.peers.measuring import Failed, microseconds, works
from bench.peers.report import Row, write

RESULTS = Path(__file__).parents[1] / "results"


def compare(rounds: int, count: int, only: str) -> list[Row]:
    """Measure each contender whose name holds *only*, with *count* records or the share of them that is its."""
    rows = []
    with tempfile.TemporaryDirectory() as name, constant_server() as url:
        folder = Path(name)
        wanted = [contender for contender in CONTENDERS if only in contender.name]
        runs: list[tuple[Row, Work, Work]] = []
        for contender in wanted:
            row = Row(contender.name, contender.does, contender.leaves_out, skipped=contender.missing())
            rows.append(row)
            if row.skipped is None:
                runs.append((row, *works(contender, count, folder, url)))
        chosen = {contender.name: contender for contender in wanted}
        for number in range(rounds):
            for row, long, short in runs:
                if row.skipped is None:
                    try:
                        row.figures.append(microseconds(chosen[row.name], long, short))
                        print(f"round {number + 1}: {row.name}: {row.figures[-1]:.1f} µs", flush=True)
                    except Failed as error:
                        row.skipped = str(error)
                        print(f"round {number + 1}: {row.name}: {error}", flush=True)
    return rows


def main(arguments: list[str]) -> int:
    """Compare as the arguments say; 1 where a contender has failed."""
    parser = argparse.ArgumentParser(prog="python -m bench peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--only", default="", help="only those whose name holds this text; writes no files")
    chosen = parser.parse_args(arguments)
    rows = compare(chosen.rounds, chosen.records, chosen.only)
    print(write(rows, chosen.rounds, chosen.records, None if chosen.only else RESULTS))
    return int(any(row.skipped is not None for row in rows))
