"""What the live page and the report show, as one JSON object: the same template draws both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from batcher import __version__
from batcher.observe.closing import ENDINGS, advice, slots_sentence
from batcher.observe.pace import Pace, seconds_left, share_done
from batcher.observe.summary import Summary
from batcher.observe.tally import Position, Tally
from batcher.observe.timeline import ROW_FIRST, ROW_GROWTH, Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run that is over, or a ledger, as a report tells it.

    Attributes:
        summary: the numbers.
        timeline: how they came about.
        doubtful: records in doubt, the first of them.
        settings: what was asked for, by option's name; no secrets.
        records: examples may show the record itself.
        live: where the run stands, while it lasts.
        shards: where there are several, a row of numbers for each.
    """

    summary: Summary
    timeline: Timeline
    doubtful: Sequence[Position] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    records: bool = True
    live: Mapping[str, object] | None = None
    shards: Sequence[Mapping[str, object]] = ()

    def to_json(self) -> dict[str, object]:
        """All of it, for the template."""
        summary = self.summary
        told = summary.to_json()
        told["problems"] = [
            {**_object(problem), "record": trouble.example.record if self.records else ""}
            for problem, trouble in zip(_objects(told["problems"]), summary.problems, strict=True)
        ]
        return {
            "version": __version__,
            "ending": ENDINGS.get(summary.exit_code, "ended"),
            "summary": told,
            "advice": [*advice(summary), *summary.notes],
            "timeline": self.timeline.to_json(),
            "rows": {"first": ROW_FIRST, "growth": ROW_GROWTH},
            "doubtful": [[doubtful.line, doubtful.input] for doubtful in self.doubtful],
            "settings": dict(self.settings),
            "live": self.live,
            "spent": slots_sentence(summary.slots, summary.slot_seconds),
            "shards": list(self.shards),
        }


def _objects(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else []


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def standing(tally: Tally, pace: Pace) -> dict[str, object]:
    """Where a run stands at this moment; *pace* is looked at."""
    gauges = tally.gauges()
    return {
        "rate": round(pace.mark(), 1),
        "share_done": share_done(tally),
        "seconds_left": seconds_left(tally),
        "in_flight": gauges.in_flight,
        "waiting": gauges.waiting,
        "limit": gauges.limit,
        "uncommitted": gauges.uncommitted,
        "connections": dict(gauges.connections),
        "draining": tally.draining,
        "pauses": [
            {"reason": reason, "detail": pause.detail, "seconds": round(tally.now() - pause.since, 1)}
            for reason, pause in tally.pauses.items()
        ],
    }
