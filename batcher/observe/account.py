"""What a run leaves in its ledger, so that a report of it can be made later: counts and timeline, no texts of records.

What the ledger's own rows and result lines tell (outcomes, durations of records, what went wrong with which line) is
not here: they are the truth, and stay so when a run is killed between two of these accounts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from batcher.core.latency import Latency
from batcher.observe.tally import Tally
from batcher.observe.timeline import Timeline

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FORMAT = 1
_MOST_BYTES = 64 << 20
"""An account is a few dozen KiB; what claims to be larger than this is none."""


class Account(NamedTuple):
    """One run, as its ledger knows it.

    Attributes:
        timeline: of the run.
        counts: what else was counted, as ``add_counts`` takes it.
        settings: by option's name.
    """

    timeline: Timeline
    counts: Mapping[str, Any]
    settings: Mapping[str, str]


def write_account(tally: Tally, timeline: Timeline, settings: Mapping[str, str]) -> bytes:
    """The run so far, compressed."""
    told = {
        "format": _FORMAT,
        "timeline": timeline.to_json(),
        "settings": dict(settings),
        "counts": {
            "seconds": round(tally.seconds, 3),
            "input_bytes": tally.input_bytes,
            "mismatches": tally.mismatches,
            "attempts": {verdict.value: _sparse(latency) for verdict, latency in tally.attempt_seconds.items()},
            "retries": {verdict.value: count for verdict, count in tally.retries.items()},
            "http": tally.http_responses,
            "logins": tally.logins,
            "faults": [[code, action, count] for (code, action), count in tally.faults.items() if count],
            "slots": tally.slots,
            "slot_seconds": {state: round(seconds, 3) for state, seconds in tally.slot_seconds().items()},
        },
    }
    return zstd.compress(orjson.dumps(told))


def read_account(packed: bytes) -> Account | None:
    """What ``write_account`` wrote; None for what another version of the program wrote, or nobody."""
    try:
        told = orjson.loads(zstd.ZstdDecompressor().decompress(packed, _MOST_BYTES))
        if told["format"] != _FORMAT:
            return None
        return Account(Timeline.from_json(told["timeline"]), told["counts"], told["settings"])
    except (zstd.ZstdError, KeyError, TypeError, ValueError):
        return None


def add_counts(tally: Tally, counts: Mapping[str, Any]) -> float:
    """Add a run's *counts* to *tally*; returns the seconds that it lasted."""
    tally.input_bytes += counts["input_bytes"]
    tally.mismatches += counts["mismatches"]
    for verdict, latency in tally.attempt_seconds.items():
        if verdict in counts["attempts"]:
            latency.add(_dense(counts["attempts"][verdict]))
    for known, added in (
        (tally.retries, counts["retries"]),
        (tally.http_responses, counts["http"]),
        (tally.logins, counts["logins"]),
    ):
        _add(known, added)
    _add(tally.faults, {(code, action): count for code, action, count in counts["faults"]})
    _spend(tally, counts.get("slots", 0), counts.get("slot_seconds", {}))  # older accounts do not tell
    return float(counts["seconds"])


def add_tally(total: Tally, own: Tally) -> None:
    """Add to *total* what *own*, the tally of one shard, has counted: histograms too, and the places for requests."""
    total.input_bytes += own.input_bytes
    total.mismatches += own.mismatches
    for verdict, latency in own.attempt_seconds.items():
        total.attempt_seconds[verdict].add(latency)
    for outcome, latency in own.record_seconds.items():
        total.record_seconds[outcome].add(latency)
    _add(total.retries, own.retries)
    _add(total.http_responses, own.http_responses)
    _add(total.logins, own.logins)
    _add(total.faults, own.faults)
    _spend(total, total.slots + own.slots, own.slot_seconds())


def _spend(tally: Tally, slots: int, seconds: Mapping[str, float]) -> None:
    """Add the *seconds* that places for requests spent in each state; *slots* is how many there were at last."""
    spent = dict(tally.slot_seconds())
    for state, more in seconds.items():
        spent[state] = spent.get(state, 0.0) + more
    tally.slots, tally.slot_seconds = slots, lambda: spent


def _add(known: dict[Any, int], added: Mapping[Any, int]) -> None:
    for name, count in added.items():
        if name in known:
            known[name] += count


def _sparse(latency: Latency) -> dict[str, object]:
    counts = [[index, count] for index, count in enumerate(latency.counts) if count]
    return {"total": latency.total, "sum": latency.sum, "largest": latency.largest, "counts": counts}


def _dense(told: Mapping[str, Any]) -> Latency:
    latency = Latency()
    latency.total, latency.sum, latency.largest = told["total"], told["sum"], told["largest"]
    for index, count in told["counts"]:
        latency.counts[index] = count
    return latency
