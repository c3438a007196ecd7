"""The hot path by function: where the program's main thread spends its time on a delivered record.

The program runs under cProfile with everything on, against nginx with a constant valid answer. The profiler makes each
call dearer, so small functions look larger than they are: read it for what to look at, and measure with ``cost``.
"""

from __future__ import annotations

import argparse
import pstats
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.constant import constant_server
from bench.records import line

RESULTS = Path(__file__).parent / "results"
_ROOT = Path(__file__).parents[1]
_SHOWN = 40


def profile(count: int, folder: Path) -> pstats.Stats:
    """Of a run over so many records."""
    source, found = folder / "records.ndjson", folder / "profile"
    source.write_bytes(b"".join(line(2, key=key) for key in range(1, count + 1)))
    with constant_server() as url:
        program = [sys.executable, "-m", "cProfile", "-o", str(found), "-m", "batcher"]
        options = ["--endpoint", url, "--order-by", "none", "--concurrency", "64", "--metrics-port", "0"]
        files = ["--ledger", str(folder / "ledger"), "--results", str(folder / "results")]
        command = ["taskset", "-c", "0", *program, str(source), *options, *files, "--progress", "plain"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return pstats.Stats(str(found))


def table(stats: pstats.Stats, count: int) -> str:
    """The functions with the most time of their own, in Markdown."""
    rows = sorted(_rows(stats), key=lambda row: -row[2])
    total = sum(own for _, _, own, _ in rows)
    lines = ["| function | calls a record | own µs a record | share | with callees |", "|---|--:|--:|--:|--:|"]
    for name, calls, own, cumulative in rows[:_SHOWN]:
        share = f"{own / total:.1%}"
        figures = f"{calls / count:.2f} | {own / count * 1e6:.2f} | {share} | {cumulative / count * 1e6:.2f}"
        lines.append(f"| `{name}` | {figures} |")
    return "\n".join(lines)


def _rows(stats: pstats.Stats) -> list[tuple[str, int, float, float]]:
    """Name, calls, seconds of its own and with its callees, of each function."""
    found: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = stats.stats  # type: ignore[attr-defined] # undocumented, but how pstats is read
    return [
        (_name(path, number, function), calls, own, cumulative)
        for (path, number, function), (_, calls, own, cumulative, _callers) in found.items()
    ]


def _name(path: str, number: int, function: str) -> str:
    if path == "~":  # built in
        return function.strip("<>").replace("built-in method ", "").replace("|", "/")
    place = Path(path)
    if place.is_relative_to(_ROOT / "batcher"):
        return f"{place.relative_to(_ROOT)}: {function}"
    _, packages, within = path.partition("site-packages/")
    return f"{within if packages else place.name}:{number} {function}"


def main(arguments: list[str]) -> None:
    """Profile as the arguments say; the table goes into ``bench/results/`` too."""
    parser = argparse.ArgumentParser(prog="python -m bench hot", description=__doc__)
    parser.add_argument("--records", type=int, default=30_000)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        told = table(profile(chosen.records, Path(folder)), chosen.records)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "hot.md").write_text(told + "\n")
    print(told)
