"""How far the runs are: the verdict on all of them, and each shard."""

from __future__ import annotations

from deploy.grafana.colours import BLUE, GREEN, ORANGE, OUTCOME_COLOURS, VERMILION
from deploy.grafana.parts import EACH, Column, Json, Query, curves, stat, table

# A run whose target has gone keeps its last numbers: the shards of a fleet do not end at the same time.
_LAST = "last_over_time(veetro_batch_{}[$__range])"
_DONE = f"(sum without (outcome) ({_LAST.format('records_total')}) + {_LAST.format('resumed_records_total')})"
_READ = f"({_LAST.format('input_records_total')} + {_LAST.format('resumed_records_total')})"
# All lines of the input, by how much of it as it is stored those take that were read.
_ALL = f"(({_LAST.format('input_size_bytes')} > 0) / ({_LAST.format('input_read_bytes_total')} > 0) * {_READ})"
# A run that has read its whole input is done, whatever its line ends were and wherever its input came from.
_COMPLETE = _LAST.format('last_completion_timestamp_seconds{exit_code=~"0|3|4"}')
_ENDED = _LAST.format("last_completion_timestamp_seconds")
_BEGUN = f"max by (job, instance) ({_LAST.format('start_timestamp_seconds')})"
_SHARE = f"clamp_max(({_COMPLETE} >= on (job, instance) group_left () {_BEGUN}) or {_DONE} / {_ALL}, 1)"
_PACE = "sum without (outcome) (rate(veetro_batch_records_total[$__rate_interval]))"
_OVER = "on (job, instance) veetro_batch_last_completion_timestamp_seconds"
_TIME_LEFT = f"clamp_min({_ALL} - {_DONE}, 0) / ({_PACE} > 0) unless {_OVER}"
_DELIVERED = _LAST.format('records_total{outcome="delivered"}')
_NOT_DELIVERED = _LAST.format('records_total{outcome=~"rejected|invalid|unsent"}')
_IN_DOUBT = _LAST.format('records_total{outcome="in_doubt"}')


def verdict() -> list[Json]:
    """Does it go well, and when is it done?"""
    none = "no run"
    return [
        stat(
            "Share done",
            "The part of the input whose records have their outcome, earlier runs on the same ledger included; the "
            "mean of all shards. Before the end it is known only where the input's size is.",
            Query(f"avg(max by (job, namespace, shard) ({_SHARE}))"),
            "percentunit",
            width=5,
            none="not known",
            steps=[(None, BLUE)],
        ),
        stat(
            "Time left",
            "For the slowest shard, at its present rate.",
            Query(f"max({_TIME_LEFT})"),
            "dtdurations",
            width=5,
            none="nothing runs, or not known",
        ),
        stat(
            "Delivered",
            "Records that the service has taken, in the last run of each target in the time range.",
            Query(f"sum({_DELIVERED})"),
            "locale",
            width=4,
            none=none,
            steps=[(None, GREEN)],
        ),
        stat(
            "Not delivered",
            "Records that were refused (rejected), that could not be sent (invalid), and that a run left when it ended "
            "early (unsent; the same command sends them).",
            Query(f"sum by (outcome) ({_NOT_DELIVERED})", "{{outcome}}"),
            "locale",
            width=6,
            none=none,
            colours=OUTCOME_COLOURS,
        ),
        stat(
            "In doubt",
            "Records that may have been applied, or not: a person must look in the service, and say so with settle.",
            Query(f"sum({_IN_DOUBT})"),
            "locale",
            width=4,
            none=none,
            steps=[(None, "text"), (1, ORANGE)],
        ),
        stat(
            "Paused",
            "How many runs send nothing at present, by reason: the service is out of order (outage), it asked for a "
            "pause (throttled), or a login is needed (session).",
            Query("sum by (reason) (veetro_batch_paused)", "{{reason}}"),
            "locale",
            width=6,
            none="nothing runs",
            steps=[(None, "text"), (1, ORANGE)],
        ),
        stat(
            "Since the last outcome",
            "How long ago a record last got its outcome, in the run for which that is longest.",
            Query(f"max(time() - veetro_batch_last_progress_timestamp_seconds unless {_OVER})"),
            "s",
            width=6,
            none="nothing runs, or none yet",
            steps=[(None, "text"), (300, ORANGE)],
        ),
        stat(
            "At work",
            "Runs that are scraped and have not ended.",
            Query(f"count(veetro_batch_start_timestamp_seconds unless {_OVER})"),
            "locale",
            width=4,
            none="nothing runs",
        ),
        stat(
            "Ended",
            "Runs of the time range that have ended, by exit code: 0 all is delivered, 3 some rejected or invalid, 4 "
            "some in doubt, 5 stopped by a rule, 6 interrupted, 7 service or login unusable, 9 file trouble. It takes "
            "--metrics-linger for a run's end to be scraped.",
            Query(f"count by (exit_code) ({_ENDED})", "exit {{exit_code}}"),
            "locale",
            width=8,
            none="none yet",
            steps=[(None, VERMILION)],
            colours={"exit 0": GREEN},
        ),
    ]


def shards() -> list[Json]:
    """Which part of a fleet is behind."""
    name = "{{namespace}} {{shard}} {{instance}}"
    p95 = f"sum by ({EACH}, le) (rate(veetro_batch_request_duration_seconds_bucket[$__rate_interval]))"
    return [
        table(
            "Shards",
            "The last run of each target in the time range, also after it has gone.",
            [
                Column("share done", f"max by ({EACH}) ({_SHARE})", "percentunit", bar=True),
                Column("time left", f"max by ({EACH}) ({_TIME_LEFT})", "dtdurations"),
                Column("delivered", f"sum by ({EACH}) ({_DELIVERED})", "locale"),
                Column("not delivered", f"sum by ({EACH}) ({_NOT_DELIVERED})", "locale"),
                Column("in doubt", f"sum by ({EACH}) ({_IN_DOUBT})", "locale"),
                Column("reasons to pause", f"sum by ({EACH}) (veetro_batch_paused)", "locale"),
            ],
            keys=("namespace", "shard", "instance"),
        ),
        curves(
            "Records a second",
            "Of each shard.",
            [Query(f"sum by ({EACH}) (rate(veetro_batch_records_total[$__rate_interval]))", name)],
            "cps",
        ),
        curves(
            "Requests in flight",
            "Of each shard: together they are what the service has to bear.",
            [Query(f"sum by ({EACH}) (veetro_batch_records_in_flight)", name)],
            "locale",
        ),
        curves(
            "95th percentile of request duration",
            "Of each shard.",
            [Query(f"histogram_quantile(0.95, {p95})", name)],
            "s",
        ),
    ]
