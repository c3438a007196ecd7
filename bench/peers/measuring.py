"""CPU time of one start of a contender: its process and all that it has started and waited for."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from batcher.core.record import RecordReader
from batcher.core.soap import SOAP_11
from batcher.core.template import Template
from batcher.operations import load
from bench.peers.contenders import CONNECTIONS, Contender, Work, node_modules
from bench.records import line

_CLIENT_CORE = "0"
_SHORT = 10
"""A short run has this part of a long one's records."""


class Failed(Exception):
    """A contender did not do its work; the text says what it said."""


def works(contender: Contender, count: int, folder: Path, url: str) -> tuple[Work, Work]:
    """The long and the short work of *contender*: its share of *count* records, whole multiples of the connections."""
    body = folder / "body"
    body.write_bytes(RecordReader(Template(load("SetOutlookSyncRecord"), SOAP_11), ()).read(line(2)).envelope)
    long = max(_SHORT, round(count * contender.share) // CONNECTIONS) * CONNECTIONS
    made = []
    for number in (long, long // CONNECTIONS // _SHORT * CONNECTIONS):
        records = folder / f"records-{number}"
        if not records.exists():
            records.write_bytes(b"".join(line(2, key=key) for key in range(1, number + 1)))
        made.append(Work(number, records, body, folder, url))
    return made[0], made[1]


def microseconds(contender: Contender, long: Work, short: Work) -> float:
    """CPU µs, user and system, that a record costs.

    What two runs of different length differ in: what starting costs is in both.

    Raises:
        Failed: a run ended badly, or not all its records were delivered.
    """
    much, many = _run(contender, long)
    little, few = _run(contender, short)
    return (much - little) / (many - few) * 1e6


def _run(contender: Contender, work: Work) -> tuple[float, int]:
    """CPU seconds, and records that were delivered."""
    with tempfile.TemporaryDirectory(dir=work.folder) as folder:
        own = Work(work.count, work.records, work.body, Path(folder), work.url)
        command = ["taskset", "-c", _CLIENT_CORE, *contender.command(own)]
        environment = {**os.environ, "NODE_PATH": str(node_modules())}
        with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, stdout=printed, stderr=said, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            printed.seek(0)
            said.seek(0)
            done = contender.done(own, printed.read()) if process.returncode == 0 else 0
            if not done or (done < work.count and "wrk" not in command):
                words = said.read().strip()[-500:]
                raise Failed(f"exit {process.returncode}, {done} of {work.count} delivered: {words}")
    return usage.ru_utime + usage.ru_stime, done
