"""What two commands that measure CPU time in rounds have in common: the rounds, and where their figures go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.peers.contenders import Contender
from bench.peers.measuring import microseconds, works

RESULTS = Path(__file__).parent / "results"
Figures = dict[str, list[float]]
"""µs a record of each row, a figure a round."""


def in_turns(rows: Iterable[tuple[str, Contender]], rounds: int, count: int, folder: Path) -> Figures:
    """Measure each row, a URL and who asks it, once a round."""
    figures: Figures = {}
    known = list(rows)
    for _ in range(rounds):
        for url, contender in known:
            long, short = works(contender, count, folder, url)
            figures.setdefault(contender.name, []).append(microseconds(contender, long, short))
    return figures


def tell(
    command: str,
    doc: str | None,
    arguments: list[str],
    cost: Callable[[int, int], Figures],
    table: Callable[[Figures], str],
) -> None:
    """Measure as *arguments* say; table and JSON go into ``bench/results/`` too."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {command}", description=doc)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=30_000)
    chosen = parser.parse_args(arguments)
    figures = cost(chosen.rounds, chosen.records)
    told = table(figures)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{command}.md").write_text(told + "\n")
    (RESULTS / f"{command}.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(told)
