"""CPU time that one delivered record costs, for each way in which the service may answer.

The program runs as a user would run it, on the first core, with validation, ledger, results, metrics and progress on;
nginx with a constant valid answer runs on the second. What is told is user and system time of the program's whole
process, its start subtracted by comparing a long run with a short one: medians of rounds in which all take turns.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.constant import Constant, constant_servers
from bench.peers.contenders import Contender, delivered, nothing, ours
from bench.rounds import Figures, in_turns, tell


def variants(servers: Constant) -> list[tuple[str, Contender]]:
    """URL and contender of each row."""
    ways: dict[str, tuple[str, list[str]]] = {
        "SOAP 1.1": (servers.plain, []),
        "SOAP 1.2": (servers.soap12, ["--soap", "1.2"]),
        "chunked answers": (servers.chunked, []),
        "gzip answers, chunked": (servers.gzip, []),
        "TLS": (servers.tls, ["--ca-file", str(servers.ca)]),
        "SOAP 1.1, no ledger": (servers.plain, []),
    }
    rows = []
    for name, (url, options) in ways.items():
        ledger = [] if "no ledger" in name else ["--ledger", "{folder}/ledger"]
        command = ours("--order-by", "none", *ledger, *options)
        rows.append((url, Contender(name, "", "", 1, command, delivered, nothing)))
    return rows


def cost(rounds: int, count: int) -> Figures:
    """µs a record of each row, a figure a round."""
    with tempfile.TemporaryDirectory() as folder, constant_servers() as servers:
        return in_turns(variants(servers), rounds, count, Path(folder))


def table(figures: Figures) -> str:
    """The figures in Markdown."""
    first = statistics.median(next(iter(figures.values())))
    lines = ["| | CPU µs a record | lowest to highest | of the first |", "|---|--:|--:|--:|"]
    for name, found in figures.items():
        median = statistics.median(found)
        lines.append(f"| {name} | {median:.1f} | {min(found):.1f} to {max(found):.1f} | {median / first:.2f} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure as the arguments say."""
    tell("cost", __doc__, arguments, cost, table)
