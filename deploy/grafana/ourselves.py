"""Whether the program keeps up, and where its time goes."""

from __future__ import annotations

from deploy.grafana.colours import BLUE, GREEN, GREY, ORANGE, PERCENTILE_COLOURS, PURPLE, SKY, VERMILION, YELLOW
from deploy.grafana.parts import EACH, Json, Query, by_label, curves, percentiles

_SLOT_COLOURS = {
    "server": BLUE,
    "read": GREEN,
    "permit": ORANGE,
    "pause": VERMILION,
    "ledger": PURPLE,
    "backoff": YELLOW,
    "connect": SKY,
    "input": GREY,
    # Darker ones of the same hues, for states that are rarely seen.
    "order": "#005C43",
    "rate": "#004B75",
    "output": "#7A3600",
}


def ourselves() -> list[Json]:
    """Whether the program keeps up, and where its time goes."""
    ours = "and on (job, instance) veetro_batch_build_info"
    return [
        curves(
            "In flight against the limit",
            "Requests that wait for their answer, and how many may: where they stay below the limit, it is not the "
            "service that holds us up.",
            [
                Query("sum(veetro_batch_concurrency_limit)", "limit"),
                Query("sum(veetro_batch_records_in_flight)", "in flight"),
            ],
            "locale",
            colours={"limit": ORANGE, "in flight": BLUE},
        ),
        curves(
            "Where the slot-seconds go",
            "What the places for requests do; their sum is how many there are. They wait for the service (server), for "
            "the limit (permit), for --rate, for a connection (connect), for the ledger, for an earlier record of the "
            "same key (order), for a repeat's time (backoff), for a pause's end, for records (input), or until results "
            "are taken (output); read is our own work on answers.",
            by_label("veetro_batch_slot_seconds_total", "state"),
            "short",
            colours=_SLOT_COLOURS,
            stacked=True,
        ),
        curves(
            "Records on their way",
            "Records that were read and wait, and results that the ledger does not hold yet.",
            [
                Query("sum(veetro_batch_records_waiting)", "waiting"),
                Query("sum(veetro_batch_ledger_uncommitted_records)", "not in the ledger yet"),
            ],
            "locale",
            colours={"waiting": BLUE, "not in the ledger yet": ORANGE},
        ),
        curves(
            "Connections",
            "Of the pool.",
            [Query("sum by (state) (veetro_batch_connections)", "{{state}}")],
            "locale",
            colours={"active": BLUE, "idle": GREY},
            stacked=True,
        ),
        curves(
            "Connections opened",
            "New ones a second. Many mean that the service or something before it closes them.",
            [Query("sum(rate(veetro_batch_connections_opened_total[$__rate_interval]))", "opened")],
            "cps",
            colours={"opened": BLUE},
        ),
        curves(
            "Record latency",
            "From reading a record to its result, waiting and repeats included.",
            percentiles("veetro_batch_record_duration_seconds"),
            "s",
            colours=PERCENTILE_COLOURS,
        ),
        curves(
            "Event loop lag",
            "By how much the program's wake-ups come late: the processor is short.",
            percentiles("veetro_batch_event_loop_lag_seconds"),
            "s",
            colours=PERCENTILE_COLOURS,
            width=6,
        ),
        curves(
            "Ledger commits",
            "How long they take: the disk of the ledger. Nothing without a ledger.",
            percentiles("veetro_batch_ledger_commit_duration_seconds"),
            "s",
            colours=PERCENTILE_COLOURS,
            width=6,
        ),
        curves(
            "Memory",
            "Resident memory of each run. It does not depend on the input's size.",
            [Query(f"max by ({EACH}) (process_resident_memory_bytes {ours})", "{{shard}} {{instance}}")],
            "bytes",
            width=6,
        ),
        curves(
            "Processor",
            "Of each run, as a part of one core. A run uses one core and a little of a second one.",
            [
                Query(
                    f"max by ({EACH}) (rate(process_cpu_seconds_total[$__rate_interval]) {ours})",
                    "{{shard}} {{instance}}",
                )
            ],
            "percentunit",
            width=6,
        ),
    ]
