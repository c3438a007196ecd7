"""Judge the rule for the limit under virtual time, beside the best fixed limit and Vector's rule.

``python -m bench pace`` runs every scenario in ``bench/pace/scenarios`` with three seeds and tells medians. The best
fixed limit is the one that the scenario names; ``--sweep`` looks for it again. Nothing waits: it takes about a minute.
``--real`` sends to the sandbox over real sockets instead, which takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from batcher.core.limit import Limit
from bench.pace import real
from bench.pace.client import Rule
from bench.pace.rivals import Vector
from bench.pace.scenario import MOST, Scenario, Seen, Window, auto, scenarios

RESULTS = Path(__file__).parents[1] / "results"
_SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Row:
    """One window of a scenario.

    Attributes:
        scenario: its title.
        window: what it judges.
        ours: what our rule did.
        best: what the best fixed limit did; None where nothing can be done well.
        vector: what Vector's rule did.
        refused: what is not accepted of ours.
    """

    scenario: str
    window: Window
    ours: Seen
    best: Seen | None
    vector: Seen
    refused: list[str]


def rows(scenario: Scenario, seeds: Sequence[int] = _SEEDS) -> list[Row]:
    """What the rules do in *scenario*."""
    ours, vector = _medians(scenario, auto, seeds), _medians(scenario, Vector, seeds)
    fixed: dict[int, list[Seen]] = {}
    found = []
    for number, window in enumerate(scenario.windows):
        best = window.best
        if best and best not in fixed:
            fixed[best] = _medians(scenario, lambda best=best: Limit(MOST, best), seeds)  # type: ignore[misc]
        seen = fixed[best][number] if best else None
        found.append(Row(scenario.title, window, ours[number], seen, vector[number], window.refuses(ours[number])))
    return found


def _medians(scenario: Scenario, rule: Callable[[], Rule], seeds: Sequence[int]) -> list[Seen]:
    runs = [scenario.seen(scenario.run(rule, seed)) for seed in seeds]
    return [
        Seen(
            goodput=statistics.median(seen.goodput for seen in same),
            p95=statistics.median(seen.p95 for seen in same),
            sent=int(statistics.median(seen.sent for seen in same)),
            limit=statistics.median(seen.limit for seen in same),
            fair=statistics.median(seen.fair for seen in same),
        )
        for same in zip(*runs, strict=True)
    ]


def as_markdown(found: Sequence[Row]) -> str:
    """The table."""
    lines = [_HEAD, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
    for row in found:
        window, best = row.window, row.best
        cells = [row.scenario, f"{window.since:g} to {window.until:g}", str(window.best or "none")]
        cells.append("" if best is None else f"{best.goodput:.4g}/s, {best.p95:.3g} s")
        for seen in (row.ours, row.vector):
            if best is None:
                cells += [f"{seen.limit:.1f}", f"{seen.sent} sent", ""]
            else:
                cells += [f"{seen.limit:.1f}", f"{seen.goodput / best.goodput:.2f}", f"{seen.p95 / best.p95:.2f}"]
        lines.append(f"| {' | '.join(cells)} | {'; '.join(row.refused) or 'ok'} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Print the table, and write it to ``bench/results``; 1 if something is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m bench pace", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sweep", action="store_true", help="look for the best fixed limits again, and name them")
    parser.add_argument("--real", action="store_true", help="on real sockets, against the sandbox")
    parser.add_argument("--rounds", type=int, default=3, help="of --real")
    options = parser.parse_args(arguments)
    if options.real:
        return real.measure(RESULTS, options.rounds)
    found: list[Row] = []
    for scenario in scenarios():
        if options.sweep:
            print(scenario.name, "best fixed:", *scenario.sweep())
        found += rows(scenario)
    if options.sweep:
        return 0
    table = as_markdown(found)
    print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pace.md").write_text(_INTRODUCTION + table, encoding="utf-8")
    (RESULTS / "pace.json").write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return int(any(row.refused for row in found))


_HEAD = (
    "| scenario | seconds | best fixed | goodput, p95 "
    "| ours: mean limit | goodput | p95 | Vector: mean limit | goodput | p95 | |"
)
_INTRODUCTION = """# The pace, under virtual time

`python -m bench pace`: medians of three seeds. Goodput and p95 of the round trip are shares of what the best fixed
limit up to 64 reaches in the same window; windows begin some thirty round trips after the run or the last change.
Vector's rule is that of its adaptive request concurrency: one more, or nine tenths; as it comes it goes up to 200, so
it may exceed 64. Where no goodput is to be had, fewer requests sent is better.

"""
