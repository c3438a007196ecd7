"""Numbers, spans of time and shares as people read them, the same in every view."""

from __future__ import annotations

from collections.abc import Mapping

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FEW = 10


def number(value: float) -> str:
    """A count with thousands separators; below ten a fraction keeps one digit."""
    if value < _FEW and value != int(value):
        return f"{value:.1f}"
    return f"{value:,.0f}"


def plural(value: int, one: str, many: str = "") -> str:
    """``1 record``, ``2,000 records``; *many* is *one* with an s unless given."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """A latency with three digits, ``0.42 ms``, ``12.3 ms``, ``1.23 s``, ``110 s``; ``-`` where there is none."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:  # noqa: PLR2004 - what would print as 1000 ms
        return f"{_three_digits(seconds * 1000)} ms"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    for bound, text in ((9.995, f"{value:.2f}"), (99.95, f"{value:.1f}")):
        if value < bound:
            return text
    return f"{value:,.0f}"


def span(seconds: float) -> str:
    """How long something takes, as on a clock: ``0:05``, ``12:34``, ``1:02:03``, ``2d 03:04:05``."""
    whole = int(seconds)
    clock = f"{whole // _MINUTE % 60:02d}:{whole % 60:02d}"
    if whole < _HOUR:
        return f"{whole // _MINUTE}:{whole % 60:02d}"
    if whole < _DAY:
        return f"{whole // _HOUR}:{clock}"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR:02d}:{clock}"


def percent(part: float, whole: float) -> str:
    """The share of *part* in *whole*, never rounded up to all nor down to nothing."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.01:  # noqa: PLR2004 - what would print as 0.00%
        return "<0.01%"
    if 99.99 < share < 100:  # noqa: PLR2004 - what would print as 100.00%
        return "99.99%"
    return f"{share:.2f}%"


def counts(values: Mapping[str, int]) -> str:
    """Those of *values* that are not 0, as ``faulted 12, throttled 3``."""
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in values.items() if value)
