"""The program as its users run it: a process with pipes, an exit code, and what it printed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from batcher.flow.ledger.access import is_written
from batcher.flow.ledger.address import is_database
from tests.places import Files, Places

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "batcher")
PATIENCE_S = 240.0
"""A program that takes longer hangs, also on a machine that is busy with much else."""
_PIPE_BYTES = 1 << 20
"""What anybody may let a pipe hold."""
_NOT_INHERITED = re.compile("VEETRO_BATCH_.*|(HTTPS?|NO|ALL)_PROXY|NO_COLOR|TERM|PYTHONPATH", re.IGNORECASE)


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def results(self) -> list[dict[str, Any]]:
        """The result lines on standard output, in the order of their lines in the input."""
        return read_lines(self.out)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many results there are of each outcome."""
        return dict(Counter(result["outcome"] for result in self.results))


def _filled(given: bytes) -> int:
    """The end to read from of a pipe that holds *given*, and into which nobody writes any more."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, max(len(given), 4096))
        pipe.write(given)
    return reading


def read_lines(text: bytes) -> list[dict[str, Any]]:
    """JSON lines, each ended by LF, sorted by their ``line``."""
    assert text == b"" or text.endswith(b"\n")
    return sorted((json.loads(line) for line in text.splitlines()), key=lambda entry: int(entry["line"]))


class Program:
    """Starts the program in *directory*, with none of its variables inherited, and ends what is left at the end.

    Its ledgers are at their *places*.
    """

    def __init__(self, directory: Path, places: Places | None = None) -> None:
        self.directory = directory
        self.places = places or Files()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._given: dict[int, bytes] = {}

    def start(
        self,
        *arguments: str | Path,
        given: bytes | None = None,
        stdin: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        environ: Mapping[str, str] | None = None,
        starter: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """A process that runs the program; *starter* is the command that starts it.

        What is *given* on standard input stands in the pipe, up to its end, before the program begins: one that ends
        early would else have read as much as the test had written by then. What no pipe holds follows in `finish`.
        """
        inherited = {name: value for name, value in os.environ.items() if not _NOT_INHERITED.fullmatch(name)}
        filled = None if given is None or len(given) > _PIPE_BYTES else _filled(given)
        try:
            process = subprocess.Popen(
                [*starter, *COMMAND, *(self.places.argument(str(argument)) for argument in arguments)],
                bufsize=0,  # a line that is waited for takes nothing of what follows it out of the pipe
                cwd=self.directory,
                env={**inherited, "PYTHONPATH": str(ROOT), **(environ or {})},
                stdin=stdin if filled is None else filled,
                stdout=stdout,
                stderr=stderr,
            )
        finally:
            if filled is not None:
                os.close(filled)
        self._processes.append(process)
        if given is not None and filled is None:
            self._given[process.pid] = given
        return process

    def finish(self, process: subprocess.Popen[bytes], given: bytes | None = None) -> Done:
        """What came of *process*, which gets what else is *given*, or nothing more, on standard input.

        It never shows its users a traceback.
        """
        if process.stdin is not None and process.stdin.closed:
            process.stdin = None  # else communicate() would use it once more
        out, err = process.communicate(given or self._given.pop(process.pid, None), PATIENCE_S)
        text = self.places.told((err or b"").decode())
        assert "Traceback" not in text, text
        assert "internal error" not in text, text
        printed = self.places.told((out or b"").decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return Done(process.returncode, printed, text)

    def run(self, *arguments: str | Path, given: bytes = b"", environ: Mapping[str, str] | None = None) -> Done:
        """Start the program, give it its standard input, and wait for its end."""
        return self.finish(self.start(*arguments, given=given, environ=environ))

    def run_each(self, runs: Iterable[tuple[Sequence[str | Path], bytes]]) -> list[Done]:
        """Run the program once for each pair of arguments and standard input, all at the same time."""
        begun = [self.start(*arguments, given=given) for arguments, given in runs]
        return [self.finish(process) for process in begun]

    def ledger(self, name: str = "ledger") -> str:
        """Where the ledger of this *name* is, seen from here."""
        place = self.places.of(name)
        return place if is_database(place) else str(self.directory / place)

    def kill(self, process: subprocess.Popen[bytes], ledger: str = "ledger") -> None:
        """Kill *process*, and wait until nobody writes its *ledger*: a database notices it a moment later."""
        process.kill()
        process.wait(PATIENCE_S)
        while is_written(self.ledger(ledger)):
            time.sleep(0.01)

    def close(self) -> None:
        """End every process that still runs."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None and not stream.closed:
                    stream.close()


def wait_for_line(stream: IO[bytes] | None, words: str) -> str:
    """Read *stream* up to the first line that holds *words*; the test's time limit ends a wait in vain."""
    assert stream is not None
    read = ""
    while words not in read:
        line = stream.readline().decode()
        assert line, f"{words!r} does not stand in: {read}"
        read += line
    return read


def record(number: int = 1, /, **fields: Any) -> dict[str, Any]:
    """A valid record that is safe to send twice, with SourceID ``S-<number>``; *fields* are put in its place."""
    moment = "2024-05-31T09:30:00Z"
    return {
        "ImportSyncRecordID": 1000 + number,
        "VeetroID": number,
        "EntityID_Owner": 7,
        "VeetroType": "Contact",
        "SourceID": f"S-{number}",
        "ApplyAction": 1,
        "RemoteTimeStamp": moment,
        "Delete": False,
        "CurrentStatusId": 2,
        "Retried": 0,
        "LocalTimeStamp": moment,
        "DateLastModifiedRemoteUtc": moment,
        "DateLastModifiedLocalUtc": moment,
        "CurrentStatus": "Completed",
        **fields,
    }


def lines(*records: dict[str, Any]) -> bytes:
    """Records as NDJSON."""
    return b"".join(json.dumps(entry, ensure_ascii=False).encode() + b"\n" for entry in records)


def many(count: int, /, **fields: Any) -> bytes:
    """So many records as NDJSON, all with these *fields*."""
    return lines(*(record(number, **fields) for number in range(1, count + 1)))
