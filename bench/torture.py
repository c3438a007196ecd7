"""``python -m bench.torture``: kill the program again and again, resume it, and see whether it kept its promises.

Kills with SIGKILL at random instants while faults are on, runs the same command again each time, and in the end
compares three witnesses: the sandbox, which knows what was really applied, the results file, and the ledger.

A record is *lost* if it has no result line, or is called delivered and was never applied. It is *doubled* if it has two
result lines, or was applied twice although its id is 0 and nobody allowed that it is sent twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from batcher.flow.ledger.store import Store

FAULTS = "server=1%,deadlock=0.3%,client=0.5%,reset=0.5%,reset_applied=0.5%,gateway_applied=0.2%,busy=0.02%"
RECORD = {
    "VeetroID": 5501, "EntityID_Owner": 12, "VeetroType": "Contact", "VeetroIDStr": "C-5501", "Source": "Outlook",
    "SyncIdentifier": "desk-7", "SourceType": "ContactItem", "SourceName": "Contacts", "ApplyAction": 1,
    "ApplyValues": "Email;Phone", "RemoteTimeStamp": "2024-05-31T09:30:00Z", "Delete": False, "CurrentStatusId": 2,
    "Retried": 0, "LocalTimeStamp": "2024-05-31T09:30:01Z", "ErrorMsg": "",
    "DateLastModifiedRemoteUtc": "2024-05-31T09:29:00Z", "DateLastModifiedLocalUtc": "2024-05-31T09:28:00Z",
    "CurrentStatus": "Completed",
}  # fmt: skip
_FINISHED = frozenset({0, 3, 4})
_BEGINNING = 0.5
"""Seconds that a run needs to begin."""
_LOOK = 0.002
"""Seconds between two looks at the results."""


@dataclass
class Tally:
    """What the torture has found.

    Attributes:
        kills: SIGKILLs that hit a running program.
        widest: the most records that were doubtful after a kill.
        outcomes: of the result lines.
        lost: sentences, one for each record that was lost.
        doubled: sentences, one for each record that was doubled.
        broken: other promises that were not kept.
    """

    kills: int = 0
    widest: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        lines = [
            f"kills {self.kills}, lost {len(self.lost)}, doubled {len(self.doubled)}, other {len(self.broken)}",
            f"outcomes: {told}; at most {self.widest} records doubtful after a kill",
        ]
        return "\n".join([*lines, *self.lost[:10], *self.doubled[:10], *self.broken[:10]])


def torture(records: int, kills: int, seed: int, folder: Path, patience: float = 1.2) -> Tally:
    """Run the program over *records*, kill it *kills* times, and check what is left.

    Most runs that are killed have written results for up to *patience* seconds; every fifth is killed while it begins.
    """
    chance = random.Random(seed)
    source = folder / "records.ndjson"
    with source.open("wb") as file:
        for number in range(1, records + 1):
            made = {"ImportSyncRecordID": 0 if number % 2 else number, "SourceID": f"S-{number}", **RECORD}
            file.write(orjson.dumps(made) + b"\n" if number % 997 else b'{"broken": true}\n')
    tally = Tally()
    with _sandbox(seed) as url:
        command = [
            *(sys.executable, "-m", "batcher", str(source), "--endpoint", url, "--progress", "off"),
            *("--ledger", str(folder / "ledger"), "--results", str(folder / "results.ndjson")),
            *("--rejects", str(folder / "rejects.ndjson"), "--log-level", "error", "--stop-after", "none"),
        ]
        while not _run_once(command, chance, patience, tally, folder, kills):
            pass
        with urllib.request.urlopen(url.removesuffix("/xml") + "/_stats") as answer:
            applied = json.load(answer)["applied"]
    _judge(records, applied, folder, tally)
    return tally


def _run_once(
    command: list[str], chance: random.Random, patience: float, tally: Tally, folder: Path, kills: int
) -> bool:
    """Run until it ends or is killed; whether it came to its end."""
    results = folder / "results.ndjson"
    before = _size(results)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    early = chance.random() < 0.2
    wait = chance.uniform(0.0, _BEGINNING if early else patience) if tally.kills < kills else None
    while wait is not None and not early and _size(results) == before and process.poll() is None:
        time.sleep(_LOOK)
    with contextlib.suppress(subprocess.TimeoutExpired):
        _, said = process.communicate(timeout=wait)
        if process.returncode not in _FINISHED:
            tally.broken.append(f"exit {process.returncode}: {said.decode()[-500:]}")
        return True
    process.kill()
    process.communicate()
    tally.kills += 1
    if (folder / "ledger").exists():  # else it was killed before it had begun
        store = Store(str(folder / "ledger"))
        tally.widest = max(tally.widest, len(store.doubtful()))
        store.close()
    return False


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


@contextlib.contextmanager
def _sandbox(seed: int) -> Iterator[str]:
    command = [sys.executable, "-m", "batcher", "sandbox", "--port", "0", "--latency", "5ms"]
    process = subprocess.Popen([*command, "--faults", FAULTS, "--seed", str(seed)], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"http://\S+/xml", process.stderr.readline())
        assert found is not None
        yield found.group()
    finally:
        process.terminate()
        process.communicate()


def _judge(records: int, applied: dict[str, int], folder: Path, tally: Tally) -> None:
    seen: Counter[int] = Counter()
    with (folder / "results.ndjson").open("rb") as file:
        for line in file:
            result = orjson.loads(line)
            number, outcome = result["line"], result["outcome"]
            seen[number] += 1
            tally.outcomes[outcome] += 1
            times = applied.get(f"S-{number}", 0)
            kind, tried = result.get("error", {}).get("kind"), result["attempts"]
            if outcome == "delivered" and not times:
                tally.lost.append(f"line {number} is delivered and was not applied")
            if outcome in {"rejected", "invalid"} and times:
                tally.broken.append(
                    f"line {number} is {outcome} ({kind}) after {tried} attempts and was applied {times} times"
                )
            if times > 1 and number % 2:
                tally.doubled.append(f"line {number} has id 0 and was applied {times} times")
            if times > 1 and outcome == "delivered" and tried < 2:
                tally.broken.append(f"line {number} was applied {times} times with {tried} attempt")
    tally.lost += [f"line {number} has no result" for number in range(1, records + 1) if not seen[number]]
    tally.doubled += [f"line {number} has {count} results" for number, count in seen.items() if count > 1]
    store = Store(str(folder / "ledger"))
    if left := store.doubtful():
        tally.broken.append(f"{len(left)} records are still open in the ledger")
    counts = {outcome.value: count for outcome, count in store.counts().items() if count}
    if counts != dict(tally.outcomes):
        tally.broken.append(f"the ledger counts {counts}, the results file {dict(tally.outcomes)}")
    store.close()


def main() -> None:
    """Torture as the arguments say; exit 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.torture", description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = torture(arguments.records, arguments.kills, arguments.seed, Path(folder))
    print(f"seed {arguments.seed}: {arguments.records:,} records\n{tally}")
    sys.exit(bool(tally.lost or tally.doubled or tally.broken))


if __name__ == "__main__":
    main()
