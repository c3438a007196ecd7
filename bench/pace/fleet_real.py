"""Four processes of the program on real sockets against one sandbox: two begin, two come later, one leaves."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.records import BROKEN_EVERY, line
from bench.sandbox import sandbox

_JOIN, _LEAVE, _END = 20.0, 60.0, 80.0
_SETTLED = 10.0
_BEGIN = (0.0, 0.0, _JOIN, _JOIN)
_RECORDS = 40_000
_LATENCY, _CAPACITY = 0.05, 16
WINDOWS = {
    "two": ((5.0, _JOIN), (0, 1)),
    "four": ((_JOIN + _SETTLED, _LEAVE), (0, 1, 2, 3)),
    "three, one has left": ((_LEAVE + 2.0, _END), (1, 2, 3)),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What the processes did in a window.

    Attributes:
        window: which are there.
        goodput: result lines a second, of all.
        each: of each that is there.
        fair: Jain's index of those.
    """

    window: str
    goodput: float
    each: tuple[float, ...]
    fair: float


def run(sandbox_options: Sequence[str]) -> list[Row]:
    """One run of all four."""
    numbers = (number for number in itertools.count(1) if number % BROKEN_EVERY)
    marks = sorted({mark for window, _ in WINDOWS.values() for mark in window})
    counted: dict[float, list[int]] = {}
    with tempfile.TemporaryDirectory() as name, sandbox(*sandbox_options) as url, ExitStack() as stack:
        folder = Path(name)
        results = [folder / f"results-{shard}.ndjson" for shard in range(len(_BEGIN))]
        for shard in range(len(_BEGIN)):
            whole = b"".join(line(number) for number in itertools.islice(numbers, _RECORDS))
            (folder / f"records-{shard}.ndjson").write_bytes(whole)
        processes: dict[int, subprocess.Popen[bytes]] = {}
        began = time.monotonic()
        for mark in sorted({*marks, *_BEGIN, _LEAVE}):
            time.sleep(max(0.0, began + mark - time.monotonic()))
            counted[mark] = [path.read_bytes().count(b"\n") if path.exists() else 0 for path in results]
            for shard, begin in enumerate(_BEGIN):
                if begin == mark:
                    processes[shard] = stack.enter_context(_program(folder, shard, url, results[shard]))
                    stack.callback(processes[shard].send_signal, signal.SIGTERM)
            if mark == _LEAVE:
                processes[0].send_signal(signal.SIGTERM)
    found = []
    for title, ((since, until), shards) in WINDOWS.items():
        each = [(counted[until][shard] - counted[since][shard]) / (until - since) for shard in shards]
        squares = sum(rate * rate for rate in each)
        found.append(Row(title, sum(each), tuple(each), sum(each) ** 2 / (len(each) * squares) if squares else 1.0))
    return found


def _program(folder: Path, shard: int, url: str, results: Path) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "batcher", str(folder / f"records-{shard}.ndjson"), "--endpoint", url),
        *("--order-by", "none", "--progress", "off", "--drain-timeout", "5", "--stop-after", "none"),
        *("--results", str(results)),
    ]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def measure(results: Path) -> int:
    """Run, print the table, and write it to *results*."""
    found = run(("--latency", f"{_LATENCY * 1000:g}ms", "--capacity", str(_CAPACITY)))
    lines = ["| processes | goodput | each | fairness |", "|---|--:|---|--:|"]
    lines += [
        f"| {row.window} | {row.goodput:.0f}/s | {', '.join(f'{rate:.0f}' for rate in row.each)} | {row.fair:.2f} |"
        for row in found
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    (results / "fleet-real.md").write_text(_INTRODUCTION + table, encoding="utf-8")
    (results / "fleet-real.json").write_text(
        json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8"
    )
    return 0


_INTRODUCTION = f"""# Four processes that share one service, on real sockets

`python -m bench fleet --real`: the whole program, four times, against one sandbox with room for {_CAPACITY} requests
of {_LATENCY * 1000:g} ms at a time, at most {_CAPACITY / _LATENCY:g} a second. Two begin, two come at second {_JOIN:g},
and one leaves at second {_LEAVE:g}. Goodput is result lines a second; fairness is Jain's index of the processes'
goodputs.

"""
