"""Run the program for minutes with faults, ledger and order on, and fail unless memory stays flat.

The real program reads records from a pipe and sends them to the sandbox, which answers badly now and then: faults,
resets, slow, compressed and chunked answers, entity bombs, garbage. (A gzip bomb needs tens of MiB for a moment before
it is refused, which would hide what this looks for.) Three in four records share an order key with two neighbours. Each
second the program's resident memory, its open descriptors and the size of its ledger's write-ahead log are read.

The first fifth of the time is warm-up; the rest is cut into thirds. Memory is flat if the highest value of the last
third is at most 2 MiB above that of the first. Descriptors may not exceed what the connections and files account for,
and the log may not grow without bound. Every record that was written into the pipe must have its result line.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from bench.records import line
from bench.sandbox import sandbox
from bench.started import started

FAULTS = (
    "server=0.5%,deadlock=0.3%,client=0.5%,late_server=0.1%,reset=0.2%,reset_applied=0.2%,gateway_applied=0.1%,"
    "cut=0.1%,slow=0.02%,dribble=0.1%,chunked=5%,gzip=5%,close=0.2%,garbage=0.1%,strange_text=1%,empty=0.1%,"
    "error_page=0.1%,entities=0.1%,hang=0.005%,busy=0.005%"
)
FLAT = 2048
"""KiB by which the last third's highest memory may exceed the first third's."""
CONNECTIONS = 64
_OTHER_DESCRIPTORS = 40
"""Standard streams, event loop, ledger with its log, index and lock, results, rejects, and some to spare."""
_LOG_GROWTH = 8 << 20
"""Bytes by which the log's highest size may grow: two of SQLite's checkpoints."""
_FINISHED = frozenset({0, 3, 4})


class Sample(NamedTuple):
    """One look at the program: seconds since its start, KiB resident, descriptors, bytes of the write-ahead log."""

    at: float
    resident: int
    descriptors: int
    log: int


class Feeder(threading.Thread):
    """Writes lines into *pipe* until *records* of them are written or *seconds* have passed, then closes it."""

    def __init__(self, pipe: IO[bytes], records: int | None, seconds: float | None) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self._pipe = pipe
        self._records = sys.maxsize if records is None else records
        self._until = None if seconds is None else time.monotonic() + seconds

    def run(self) -> None:
        """Write until it is enough; a program that reads no more has its exit code to tell why."""
        with contextlib.suppress(BrokenPipeError), self._pipe:
            while self.written < self._records and (self._until is None or time.monotonic() < self._until):
                number = self.written + 1
                self._pipe.write(line(number, key=number - number % 4 if number % 4 != 1 else number))
                self.written = number


def soak(records: int | None, seconds: float | None, folder: Path) -> tuple[list[Sample], list[str]]:
    """Run until *records* or *seconds* are through; the samples, and a sentence for each thing that is not right."""
    with sandbox("--latency", "10ms", "--faults", FAULTS) as url, (folder / "said").open("wb") as said:
        command = [
            *(sys.executable, "-m", "batcher", "-", "--endpoint", url, "--progress", "plain", "--timeout", "10"),
            *("--ledger", str(folder / "ledger"), "--results", str(folder / "results.ndjson")),
            *("--rejects", str(folder / "rejects.ndjson"), "--stop-after", "none", "--metrics-port", "0"),
            *("--connections", str(CONNECTIONS)),
        ]
        streams = {"stdin": subprocess.PIPE, "stderr": said, "stdout": subprocess.DEVNULL}
        with started(command, **streams) as program:
            assert program.stdin is not None
            began = time.monotonic()
            feeder = Feeder(program.stdin, records, seconds)
            feeder.start()
            samples = []
            while program.poll() is None:
                with contextlib.suppress(OSError):  # it may end while it is looked at
                    samples.append(_look(program.pid, began, folder / "ledger-wal"))
                time.sleep(1)
            feeder.join()
    print(f"{feeder.written:,} records in {time.monotonic() - began:.0f} s")
    wrong = _judge_samples(samples) + _judge_results(folder / "results.ndjson", feeder.written)
    if program.returncode not in _FINISHED:
        wrong.append(f"exit {program.returncode}: {(folder / 'said').read_text()[-500:]}")
    return samples, wrong


def _look(pid: int, began: float, log: Path) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    if found is None:
        raise ProcessLookupError(pid)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    size = log.stat().st_size if log.exists() else 0
    return Sample(time.monotonic() - began, int(found.group(1)), descriptors, size)


def thirds(samples: list[Sample]) -> list[Sample]:
    """The highest values of each third of *samples*, the first fifth left out; *at* is where each third ends."""
    warm = samples[len(samples) // 5 :]
    cuts = [round(len(warm) * part / 3) for part in range(4)]
    parts = [warm[first:last] for first, last in itertools.pairwise(cuts)]
    return [Sample(*map(max, zip(*part, strict=True))) for part in parts]


def _judge_samples(samples: list[Sample]) -> list[str]:
    """What is not flat; prints the figures."""
    if len(samples) < 15:
        return [f"{len(samples)} seconds are too few to tell"]
    first, middle, last = thirds(samples)
    print("highest of each third       first     middle       last")
    print(f"resident memory, KiB   {first.resident:10,} {middle.resident:10,} {last.resident:10,}")
    print(f"open descriptors       {first.descriptors:10,} {middle.descriptors:10,} {last.descriptors:10,}")
    print(f"write-ahead log, bytes {first.log:10,} {middle.log:10,} {last.log:10,}")
    wrong = []
    if last.resident > first.resident + FLAT:
        wrong.append(f"memory grew by {last.resident - first.resident:,} KiB")
    if (most := max(sample.descriptors for sample in samples)) > CONNECTIONS + _OTHER_DESCRIPTORS:
        wrong.append(f"{most} descriptors were open")
    if last.log > first.log + _LOG_GROWTH:
        wrong.append(f"the write-ahead log grew by {last.log - first.log:,} bytes")
    return wrong


def _judge_results(results: Path, written: int) -> list[str]:
    """Whether each line that was written has exactly one result."""
    seen = bytearray(written + 1)
    outcomes: Counter[str] = Counter()
    with results.open("rb") as file:
        for told in file:
            result = orjson.loads(told)
            outcomes[result["outcome"]] += 1
            seen[result["line"]] += 1
    print(", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items())))
    wrong = [f"line {number} has {count} results" for number, count in enumerate(seen) if number and count != 1]
    return [*wrong[:10], f"{len(wrong):,} lines have not one result"] if wrong else []


def main(arguments: list[str]) -> int:
    """Soak as the arguments say; 1 if something is not right."""
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--minutes", type=float, default=3)
    amount.add_argument("--records", type=int)
    parser.add_argument("--samples", type=Path, help="write each second's figures here, as CSV")
    chosen = parser.parse_args(arguments)
    seconds = None if chosen.records is not None else chosen.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        samples, wrong = soak(chosen.records, seconds, Path(folder))
    if chosen.samples is not None:
        rows = [f"{sample.at:.1f},{sample.resident},{sample.descriptors},{sample.log}\n" for sample in samples]
        chosen.samples.write_text("seconds,resident_kib,descriptors,log_bytes\n" + "".join(rows))
    print("\n".join(wrong) or f"flat: memory within {FLAT // 1024} MiB, one result a record")
    return int(bool(wrong))
