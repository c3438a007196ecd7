"""Simulate fleets of clients that share one service: do their limits become equal, and is anything lost?

``python -m bench fleet`` lets 2, 16 and 256 clients with the real rule send under virtual time. Half of them begin
within two seconds, the others come at second 40, and at second 100 each second one leaves. ``--real`` does likewise
with four processes on real sockets against the sandbox.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from batcher.core.limit import Limit
from batcher.core.rate import Pacer, share_of_fleet
from bench.pace import fleet_real
from bench.pace.client import Agenda, Client, Diary, percentile
from bench.pace.scenario import MOST
from bench.pace.service import Manner, Service

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (2, 16, 256)
_LATENCY = 0.1
_JOIN, _LEAVE, _END = 40.0, 100.0, 160.0
_SETTLED = 20.0
"""Seconds after a change that are not judged."""
WINDOWS = {
    "half of it": (10.0, _JOIN),
    "all of it": (_JOIN + _SETTLED, _LEAVE),
    "half has left": (_LEAVE + _SETTLED, _END),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to be limited.

    Attributes:
        title: in a few words.
        jitter: of the latency.
        queues: what is more than the service works on at a time queues, else it is turned away.
        limited: the service takes so many requests a second, from each client of the whole fleet; 0: any number.
        paced: the fleet keeps to nine tenths of that by ``--fleet-rate``.
        each: in flight for each client of the whole fleet, where all are equal.
        way: seconds from a client to the service.
    """

    title: str
    jitter: float = 0.2
    queues: bool = False
    limited: float = 0.0
    paced: bool = False
    each: float = 8.0
    way: float = 0.0


KINDS = (
    Kind("A queue", queues=True),
    Kind("A hard cap, 503 above it"),
    Kind("A hard cap, 1 ms away", way=0.001),
    Kind("A hard cap of one for each four, 1 ms away", each=0.25, way=0.001),
    Kind("429 above a rate", limited=60.0),
    Kind("429 above a rate, --fleet-rate below it", limited=60.0, paced=True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a fleet did in a window.

    Attributes:
        kind: title of the kind.
        clients: of the whole fleet.
        window: which part of the run.
        goodput: share of what the service can serve, or of ``--fleet-rate`` for those that are there.
        fair: Jain's index of the goodputs of those that are there, 1 for equal ones.
        lost: share of the requests that were turned away.
        p95: of the round trip, in latencies of the service when idle.
    """

    kind: str
    clients: int
    window: str
    goodput: float
    fair: float
    lost: float
    p95: float


def rows(kind: Kind, clients: int, seed: int = 1) -> list[Row]:
    """What a fleet of so many *clients* does."""
    agenda = Agenda()
    service = Service(_manner(kind, clients), seed)
    half = clients // 2
    diaries: list[Diary] = []
    for number in range(clients):
        pacer = Pacer(share_of_fleet(kind.limited * clients * _PACED, clients)) if kind.paced else None
        leaves = _LEAVE + number / clients if number % 2 else math.inf
        rule = Limit(MOST)
        client = Client(
            rule, service, agenda, timeout=120.0, wanted=10**6, seed=seed + number, pacer=pacer, leaves=leaves
        )
        late = number >= half
        agenda.put((_JOIN if late else 0.0) + 2.0 * (number % half) / half, client.begin)
        diaries.append(client.diary)
    agenda.run(_END)
    return [_row(kind, clients, window, diaries) for window in WINDOWS]


_PACED = 0.9


def _manner(kind: Kind, clients: int) -> Manner:
    if kind.limited:
        return Manner(_LATENCY, kind.jitter, rate=kind.limited * clients, burst=10.0 * clients)
    room = max(1, int(kind.each * clients))
    if kind.queues:
        return Manner(_LATENCY, kind.jitter, servers=room)
    return Manner(_LATENCY, kind.jitter, cap=room, way=kind.way)


def _row(kind: Kind, clients: int, window: str, diaries: Sequence[Diary]) -> Row:
    since, until = WINDOWS[window]
    half = clients // 2
    there = diaries[:half] if until == _JOIN else diaries if until == _LEAVE else diaries[::2]
    trips = [[trip for at, trip in diary.served if since <= at < until] for diary in there]
    counts = [len(each) for each in trips]
    lost = sum(since <= at < until for diary in there for at in diary.lost)
    mean = _LATENCY * math.exp(kind.jitter**2 / 2)
    most = kind.limited * clients if kind.limited else max(1, int(kind.each * clients)) / mean
    bound = MOST * len(there) / mean
    if kind.paced:
        most = kind.limited * _PACED * len(there)
    return Row(
        kind=kind.title,
        clients=clients,
        window=window,
        goodput=sum(counts) / (until - since) / min(most, bound),
        fair=sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts)),
        lost=lost / (lost + sum(counts)),
        p95=percentile([trip for each in trips for trip in each], 0.95) / _LATENCY,
    )


def as_markdown(found: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| the service has | clients | window | goodput | fairness | lost | p95 |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.kind} | {row.clients} | {row.window} | {row.goodput:.2f} | {row.fair:.2f} | {row.lost:.1%} "
        f"| {row.p95:.2f} |"
        for row in found
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Print the table, and write it to ``bench/results``."""
    parser = argparse.ArgumentParser(prog="python -m bench fleet", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", action="store_true", help="four processes on real sockets, against the sandbox")
    parser.add_argument("--most", type=int, default=max(SIZES), help="no larger fleets than this")
    options = parser.parse_args(arguments)
    RESULTS.mkdir(exist_ok=True)
    if options.real:
        return fleet_real.measure(RESULTS)
    found = [row for kind in KINDS for size in SIZES if size <= options.most for row in rows(kind, size)]
    table = as_markdown(found)
    print(table)
    (RESULTS / "fleet.md").write_text(_INTRODUCTION + table, encoding="utf-8")
    (RESULTS / "fleet.json").write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return 0


_INTRODUCTION = f"""# Fleets that share one service, under virtual time

`python -m bench fleet`: each client has the real rule. Half of them begin at once, the others come at second
{_JOIN:g}, and at second {_LEAVE:g} each second one leaves; {_SETTLED:g} s after a change are not judged. The service
has room for {KINDS[0].each:g} requests in flight for each client, {_LATENCY:g} s each, or takes 60 a second for each.
Goodput is a share of what it can serve (of `--fleet-rate` for those that are there), fairness is Jain's index of the
clients' goodputs, lost is the share of requests that were turned away, p95 is in round trips of an idle service.

"""
