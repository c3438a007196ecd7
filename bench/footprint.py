"""How much memory a run needs for inputs of different length, and how soon its first request is out.

Memory: the peak of resident memory (VmHWM) with ledger and order by key on, records coming through a pipe, nginx with a
constant valid answer. Time: from the start of the process to the first bytes of a request; and what ``--help`` takes.
Both of a program that is installed, whose modules are compiled to bytecode.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.constant import constant_server
from bench.records import line
from bench.soak import Feeder
from bench.started import started

RESULTS = Path(__file__).parent / "results"
_PROGRAM = (sys.executable, "-m", "batcher")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of the starts: the first one leaves the bytecode for the others, as an installation does."""


def peak(records: int, url: str) -> int:
    """KiB that a run over so many records has held at most."""
    with tempfile.TemporaryDirectory() as name, (Path(name) / "said").open("wb") as said:
        folder = Path(name)
        command = [*_PROGRAM, "-", "--endpoint", url, "--ledger", str(folder / "ledger"), "--metrics-port", "0"]
        command += ["--results", str(folder / "results"), "--progress", "plain", "--allow-rejected", "100%"]
        highest = 0
        with started(command, stdin=subprocess.PIPE, stderr=said) as program:
            assert program.stdin is not None
            feeder = Feeder(program.stdin, records, None)
            feeder.start()
            while program.poll() is None:
                with contextlib.suppress(OSError):  # it may end while it is looked at
                    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{program.pid}/status").read_text())
                    highest = int(found.group(1)) if found else highest
                time.sleep(0.1)
            feeder.join()
        if program.returncode != 0 and feeder.written < records:
            raise RuntimeError(f"exit {program.returncode}: {(folder / 'said').read_text()[-500:]}")
    return highest


def first_request() -> float:
    """Seconds from the start of the process to the first bytes of its first request."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        source = Path(folder) / "records.ndjson"
        source.write_bytes(line(2))
        url = f"http://127.0.0.1:{server.getsockname()[1]}/xml"
        command = [*_PROGRAM, str(source), "--endpoint", url, "--ledger", f"{folder}/ledger", "--progress", "off"]
        began = time.perf_counter()
        with started([*command, "--results", "none"], env=_ENVIRONMENT):
            server.settimeout(30)
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                return time.perf_counter() - began


def help_text() -> float:
    """Seconds that ``--help`` takes."""
    began = time.perf_counter()
    subprocess.run([*_PROGRAM, "--help"], check=True, stdout=subprocess.DEVNULL, env=_ENVIRONMENT)
    return time.perf_counter() - began


def main(arguments: list[str]) -> None:
    """Measure as the arguments say; table and JSON go into ``bench/results/`` too."""
    parser = argparse.ArgumentParser(prog="python -m bench footprint", description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--starts", type=int, default=10)
    chosen = parser.parse_args(arguments)
    with constant_server() as url:
        peaks = {}
        for records in chosen.records:
            peaks[str(records)] = peak(records, url)
            # Millions take long: who ends it early has what is known so far.
            print(f"{records:,} records: {peaks[str(records)] / 1024:.1f} MiB", file=sys.stderr)
    first_request()  # compiles what is not
    starts = {
        "first request out": [first_request() for _ in range(chosen.starts)],
        "--help": [help_text() for _ in range(chosen.starts)],
    }
    lines = ["| records | peak resident memory, MiB |", "|--:|--:|"]
    lines += [f"| {int(records):,} | {highest / 1024:.1f} |" for records, highest in peaks.items()]
    lines += ["", "| | median, s | lowest to highest |", "|---|--:|--:|"]
    lines += [
        f"| {name} | {statistics.median(seconds):.3f} | {min(seconds):.3f} to {max(seconds):.3f} |"
        for name, seconds in starts.items()
    ]
    told = "\n".join(lines)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "footprint.md").write_text(told + "\n")
    (RESULTS / "footprint.json").write_text(json.dumps({"peak_kib": peaks, "seconds": starts}, indent=1) + "\n")
    print(told)
