"""One scenario: a service, what happens to it, and what is accepted of a rule; read from a TOML file."""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.core.limit import Limit
from bench.pace.client import Agenda, Client, Diary, Rule, percentile
from bench.pace.service import Manner, Service

FOLDER = Path(__file__).with_name("scenarios")
MOST = 64
"""``--connections`` as it comes."""
SWEPT = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
"""Fixed limits among which the best is looked for."""
_PLATEAU = 0.99
"""Less goodput than this share of the most is less; among those that have it the lowest limit is the best."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the run that is judged.

    Attributes:
        since: its first second.
        until: its last.
        goodput: at least this share of the best fixed limit's, 0 for any.
        slower: p95 of the round trip, at most so many times the best fixed limit's; 0 for any.
        best: the best fixed limit, as the sweep has found it; 0 where there is none.
        best_goodput: requests that it has served a second.
        best_p95: of its round trips, in seconds.
        most_sent: requests that may be sent in it, None for any number.
        fair: Jain's index of the clients' goodputs is at least this.
    """

    since: float
    until: float
    goodput: float = 0.9
    slower: float = 2.0
    best: int = 0
    best_goodput: float = 0.0
    best_p95: float = 0.0
    most_sent: int | None = None
    fair: float = 0.0

    def refuses(self, seen: Seen) -> list[str]:
        """What of *seen* is not accepted, in words."""
        found = []
        if seen.goodput < self.goodput * self.best_goodput:
            found.append(f"goodput {seen.goodput:.1f}/s, {self.goodput:.0%} of {self.best_goodput:.1f}/s wanted")
        if self.best and self.slower and seen.p95 > self.slower * self.best_p95:
            found.append(f"p95 {seen.p95:.3g} s, at most {self.slower} times {self.best_p95:.3g} s wanted")
        if self.most_sent is not None and seen.sent > self.most_sent:
            found.append(f"{seen.sent} requests sent, at most {self.most_sent} wanted")
        if seen.fair < self.fair:
            found.append(f"fairness {seen.fair:.2f}, {self.fair} wanted")
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule did in a window.

    Attributes:
        goodput: requests served a second, of all clients.
        p95: of their round trips, in seconds.
        sent: requests sent.
        limit: mean of the limits.
        fair: Jain's index of the clients' goodputs, 1 for equal ones.
    """

    goodput: float
    p95: float
    sent: int
    limit: float
    fair: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        name: of its file.
        title: in a few words.
        prose: what it is about.
        seconds: how long it lasts.
        timeout: of the clients.
        wanted: requests that a client has at a time, at most.
        begin: when each client begins.
        manner: how the service serves at first.
        changes: how it serves from an instant on.
        windows: what is judged.
    """

    name: str
    title: str
    prose: str
    seconds: float
    timeout: float
    wanted: int
    begin: tuple[float, ...]
    manner: Manner
    changes: tuple[tuple[float, Mapping[str, Any]], ...]
    windows: tuple[Window, ...]

    def run(self, rule: Callable[[], Rule], seed: int = 1) -> list[Diary]:
        """What each client saw, with a *rule* of its own."""
        agenda, service = Agenda(), Service(self.manner, seed)
        clients = [
            Client(rule(), service, agenda, timeout=self.timeout, wanted=self.wanted, seed=seed + number)
            for number in range(len(self.begin))
        ]
        for at, changes in self.changes:
            agenda.put(at, lambda now, changes=changes: service.change(changes, now))  # type: ignore[misc]
        for begin, client in zip(self.begin, clients, strict=True):
            agenda.put(begin, client.begin)
        agenda.run(self.seconds)
        return [client.diary for client in clients]

    def sweep(self, seed: int = 1) -> list[int]:
        """For each window the fixed limit that was best."""
        seen = {fixed: self.seen(self.run(lambda fixed=fixed: Limit(MOST, fixed), seed)) for fixed in SWEPT}  # type: ignore[misc]
        best = []
        for number in range(len(self.windows)):
            most = max(windows[number].goodput for windows in seen.values())
            best.append(next(f for f, windows in seen.items() if windows[number].goodput >= most * _PLATEAU))
        return best

    def seen(self, diaries: Sequence[Diary]) -> list[Seen]:
        """What these *diaries* tell about each window."""
        return [_seen(diaries, window) for window in self.windows]


def _seen(diaries: Sequence[Diary], window: Window) -> Seen:
    since, until = window.since, window.until
    served = [[seconds for at, seconds in diary.served if since <= at < until] for diary in diaries]
    counts = [len(seconds) for seconds in served]
    squares = sum(count * count for count in counts)
    return Seen(
        goodput=sum(counts) / (until - since),
        p95=percentile([seconds for each in served for seconds in each], 0.95),
        sent=sum(since <= at < until for diary in diaries for at in diary.sent),
        limit=statistics.fmean(_mean_limit(diary, window) for diary in diaries),
        fair=sum(counts) ** 2 / (len(counts) * squares) if squares else 1.0,
    )


def _mean_limit(diary: Diary, window: Window) -> float:
    total = 0.0
    ends = [at for at, _ in diary.limits[1:]] + [window.until]
    for (at, limit), end in zip(diary.limits, ends, strict=True):
        total += limit * max(0.0, min(end, window.until) - max(at, window.since))
    return total / (window.until - window.since)


def load(path: Path) -> Scenario:
    """The scenario in the file at *path*."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    changes = ((change.pop("at"), change) for change in found.get("change", []))
    return Scenario(
        name=path.stem,
        title=found["title"],
        prose=" ".join(found["prose"].split()),
        seconds=found["seconds"],
        timeout=found.get("timeout", 120.0),
        wanted=found.get("wanted", 10**6),
        begin=tuple(found.get("begin", [0.0])),
        manner=Manner(**found.get("service", {})),
        changes=tuple(changes),
        windows=tuple(Window(**window) for window in found["window"]),
    )


def scenarios() -> Iterator[Scenario]:
    """All of them."""
    return (load(path) for path in sorted(FOLDER.glob("*.toml")))


def auto() -> Limit:
    """The rule as a run has it."""
    return Limit(MOST)
