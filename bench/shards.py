"""What a shard pays for the records of others: CPU time of one that is read and skipped, beside one that is sent.

The program runs as in ``cost``, once with all records its own, and once as one shard of a million, which has none of
them: so each record is read, its key is found, and it is left out. Medians of rounds in which all rows take turns.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.constant import constant_servers
from bench.peers.contenders import Contender, Work, delivered, nothing, ours
from bench.rounds import Figures, in_turns, tell

SENT = "sent"
_NONE_OF_THEM = ("--shard", "999999/1000000")
_WAYS = {
    "skipped: key of one field": ("--order-by", "SourceID"),
    "skipped: key of two fields": ("--order-by", "SourceType,SourceID"),
    "skipped: without a key": ("--order-by", "none"),
    "skipped: by range": ("--order-by", "SourceID", "--shard-by", "range"),
}
_MORE = 10
"""Records that are skipped for each that is sent: so that both take about as long."""


def _passed(work: Work, _: str) -> int:
    """All records are passed where not one has a result."""
    return work.count if not (work.folder / "results").read_bytes() else 0


def contenders() -> list[Contender]:
    """One a row."""
    kept = ("--ledger", "{folder}/ledger")
    rows = [Contender(SENT, "", "", 1, ours("--order-by", "none", *kept), delivered, nothing)]
    for name, options in _WAYS.items():
        rows.append(Contender(name, "", "", _MORE, ours(*options, *_NONE_OF_THEM, *kept), _passed, nothing))
    return rows


def cost(rounds: int, count: int) -> Figures:
    """µs a record of each row, a figure a round."""
    with tempfile.TemporaryDirectory() as folder, constant_servers() as servers:
        return in_turns([(servers.plain, contender) for contender in contenders()], rounds, count, Path(folder))


def table(figures: Figures) -> str:
    """The figures in Markdown; the last column is what sharing out to 16 adds to each record of one's own."""
    sent = statistics.median(figures[SENT])
    lines = [
        "| | CPU µs a record | lowest to highest | of one sent | 16 shards: more a record |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, found in figures.items():
        median = statistics.median(found)
        more = "" if name == SENT else f"{15 * median / sent:.0%}"
        lines.append(f"| {name} | {median:.2f} | {min(found):.2f} to {max(found):.2f} | {median / sent:.1%} | {more} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure as the arguments say."""
    tell("shards", __doc__, arguments, cost, table)
