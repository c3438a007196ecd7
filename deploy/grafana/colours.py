"""Eight colours that the colour-blind tell apart, and for whom they are kept.

Okabe and Ito, Color Universal Design (2008), with grey in place of black, which a dark page would hide.
"""

from __future__ import annotations

GREEN, BLUE, SKY, ORANGE = "#009E73", "#0072B2", "#56B4E9", "#E69F00"
VERMILION, PURPLE, YELLOW, GREY = "#D55E00", "#CC79A7", "#F0E442", "#999999"

OUTCOME_COLOURS = {"delivered": GREEN, "rejected": VERMILION, "invalid": PURPLE, "in_doubt": ORANGE, "unsent": GREY}
VERDICT_COLOURS = {
    "accepted": GREEN,
    "refused": VERMILION,
    "faulted": PURPLE,
    "throttled": YELLOW,
    "no_session": BLUE,
    "misdirected": SKY,
    "not_sent": GREY,
    "uncertain": ORANGE,
}
PERCENTILE_COLOURS = {"p50": SKY, "p95": BLUE, "p99": ORANGE}
