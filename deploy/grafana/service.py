"""How the service does, and what it says when it does not take a record."""

from __future__ import annotations

from deploy.grafana.colours import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    OUTCOME_COLOURS,
    PERCENTILE_COLOURS,
    PURPLE,
    SKY,
    VERDICT_COLOURS,
    VERMILION,
    YELLOW,
)
from deploy.grafana.parts import PAUSED, Json, Query, by_label, curves, heat_map, percentiles, states


def target() -> list[Json]:
    """How the service does."""
    durations = "veetro_batch_request_duration_seconds"
    unwell = 'sum by (verdict) (rate(veetro_batch_attempts_total{verdict!="accepted"}[$__rate_interval]))'
    return [
        curves(
            "Records a second, by outcome",
            "How fast records come to their end.",
            by_label("veetro_batch_records_total", "outcome"),
            "cps",
            colours=OUTCOME_COLOURS,
            stacked=True,
        ),
        curves(
            "Share of attempts that went wrong",
            "Requests that were not accepted, by what their end means, as a part of all requests.",
            [
                Query(
                    f"{unwell} / on () group_left () (sum(rate(veetro_batch_attempts_total[$__rate_interval])) > 0)",
                    "{{verdict}}",
                )
            ],
            "percentunit",
            colours=VERDICT_COLOURS,
            stacked=True,
        ),
        curves(
            "Request duration",
            "Of one attempt, from its permit to the answer's end, whatever the answer was.",
            percentiles(durations),
            "s",
            colours=PERCENTILE_COLOURS,
        ),
        heat_map(
            "Request durations",
            "How many requests took how long: two bands are two kinds of answers, "
            "a rising one is a service that tires.",
            durations,
            width=16,
        ),
        curves(
            "Traffic",
            "Bytes of envelopes sent, and of answers' bodies, decompressed.",
            [
                Query("sum(rate(veetro_batch_request_bytes_total[$__rate_interval]))", "sent"),
                Query("sum(rate(veetro_batch_response_bytes_total[$__rate_interval]))", "received"),
            ],
            "Bps",
            colours={"sent": ORANGE, "received": BLUE},
        ),
    ]


def troubles() -> list[Json]:
    """What the service says when it does not take a record, and what we do then."""
    return [
        curves(
            "Faults, by code and what came of them",
            "SOAP faults a second: the record was sent again (retried), it was its end (final), a login followed "
            "(session), or it told of the run rather than of the record (other).",
            [
                Query(
                    "sum by (code, action) (rate(veetro_batch_faults_total[$__rate_interval])) > 0",
                    "{{code}}, {{action}}",
                )
            ],
            "cps",
            colours={
                "Server, retried": SKY,
                "Server, final": VERMILION,
                "Client, final": PURPLE,
                "Server, session": BLUE,
                "Client, session": YELLOW,
                "Server, other": ORANGE,
            },
        ),
        curves(
            "HTTP answers, by status",
            "Answers to attempts a second; a fault comes with 500.",
            by_label("veetro_batch_http_responses_total", "code", "> 0"),
            "cps",
            colours={
                "200": GREEN,
                "500": VERMILION,
                "401": BLUE,
                "403": SKY,
                "429": YELLOW,
                "503": ORANGE,
                "502": PURPLE,
                "504": GREY,
            },
        ),
        curves(
            "Retries, by what went before",
            "Attempts to be repeated, a second, by what the last one's end means.",
            by_label("veetro_batch_retries_total", "reason"),
            "cps",
            colours=VERDICT_COLOURS,
            stacked=True,
        ),
        states(
            "Pauses",
            "When sending rested in any run, and why.",
            [Query(f"max by (reason) ({PAUSED})", "{{reason}}")],
            {0: ("sending", GREY), 1: ("paused", VERMILION)},
        ),
        curves(
            "Logins",
            "A second, by how they ended. Refused ones end the run.",
            by_label("veetro_batch_session_logins_total", "result"),
            "cps",
            colours={"success": GREEN, "refused": VERMILION, "failed": ORANGE},
        ),
        curves(
            "Answers that name another key",
            "Delivered records whose answer carries another order key than the one that was sent: look at their result "
            "lines, which say mismatch.",
            [Query("sum(veetro_batch_mismatched_results_total)", "mismatched")],
            "locale",
            colours={"mismatched": VERMILION},
        ),
    ]
