"""What .NET reads as a dateTime, and how it prints it again.

ASP.NET's serializer calls `XmlConvert.ToDateTime` with `RoundtripKind`, which takes every XSD date type, not only
dateTime: a bare date, a bare time (of today), a year, a day of a month. `Z` is kept as UTC; an offset is converted to
the server's own zone, which here is UTC+0, and printed with it; neither is "unspecified" and printed bare. More than
seven fraction digits are rounded half to even; hour 24 and second 60 are refused; what an offset would push out of the
years 1 to 9999 is clamped. `System.Xml.Schema.XsdDateTime` in Microsoft's reference source has the rules.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

__all__ = ["YEAR_ONE", "read_datetime"]

YEAR_ONE: Final = "0001-01-01T00:00:00"

_TICKS_A_SECOND: Final = 10_000_000
_TICKS_A_DAY: Final = 86_400 * _TICKS_A_SECOND
_LAST_TICK: Final = date.max.toordinal() * _TICKS_A_DAY - 1
_FRACTION_DIGITS: Final = 7
_LEAP_YEAR: Final = 1904
"""The year that .NET gives a month and day without one."""

_OVERFLOW: Final = "The added or subtracted value results in an un-representable DateTime.\nParameter name: value"
_PRINTED_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{0,6}[1-9])?Z?")
_WHOLE_SECONDS: Final = len(YEAR_ONE)
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?"
_FORMS: Final = re.compile(
    r"(?:(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})(?:T" + _TIME + r")?)?)?"
    r"|" + re.sub(r"P<(\w+)>", r"P<only_\1>", _TIME) + r"|---(?P<gday>[0-9]{2})"
    r"|--(?P<gmonth>[0-9]{2})(?:-(?P<gmonth_day>[0-9]{2})|--)?)"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):(?P<zone_minute>[0-9]{2}))?",
    re.ASCII,
)


def read_datetime(text: str) -> str:
    """The instant as the server prints it; `ValueError` with .NET's text where *text* is none."""
    # The usual form is printed as it came, and the standard library checks the calendar fastest.
    if _PRINTED_FORM.fullmatch(text) is not None:
        with suppress(ValueError):
            datetime.fromisoformat(text[:_WHOLE_SECONDS])
            return text
    match = _FORMS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"The string '{text}' is not a valid AllXsd value.")
    try:
        ticks = _ticks(match.groupdict())
    except ValueError:
        raise ValueError(f"The string '{text}' is not a valid AllXsd value.") from None
    zone = match["zone"]
    if zone in ("Z", "z"):
        return _printed(ticks) + "Z"
    if zone is not None:
        offset = (int(match["zone_hour"]) * 60 + int(match["zone_minute"])) * 60 * _TICKS_A_SECOND
        ticks += offset if match["sign"] == "-" else -offset
        return _printed(min(max(ticks, 0), _LAST_TICK)) + "+00:00"
    return _printed(ticks)


def _ticks(parts: dict[str, str | None]) -> int:
    """Ticks of 100 ns since year 1; `ValueError` where a part is out of its range."""
    if parts["only_hour"] is not None:
        today = datetime.now(UTC)
        day = date(today.year, today.month, today.day)
        hour, minute, second, fraction = (parts[f"only_{name}"] for name in ("hour", "minute", "second", "fraction"))
    else:
        day = _day(parts)
        hour, minute, second, fraction = (parts[name] for name in ("hour", "minute", "second", "fraction"))
    moment = datetime(day.year, day.month, day.day, int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC)
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    return (day.toordinal() - 1) * _TICKS_A_DAY + seconds * _TICKS_A_SECOND + _fraction_ticks(fraction or "")


def _day(parts: dict[str, str | None]) -> date:
    if parts["gday"] is not None:
        return date(datetime.now(UTC).year, 1, int(parts["gday"]))
    if parts["gmonth"] is not None:
        if parts["gmonth_day"] is not None:
            return date(_LEAP_YEAR, int(parts["gmonth"]), int(parts["gmonth_day"]))
        return date(datetime.now(UTC).year, int(parts["gmonth"]), 1)
    return date(int(parts["year"] or 0), int(parts["month"] or 1), int(parts["day"] or 1))


def _fraction_ticks(digits: str) -> int:
    kept = int(digits[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0"))
    rest = digits[_FRACTION_DIGITS:].rstrip("0")
    if rest > "5" or (rest == "5" and kept % 2 == 1):
        return kept + 1
    return kept


def _printed(ticks: int) -> str:
    if ticks > _LAST_TICK:
        raise ValueError(_OVERFLOW)
    days, in_day = divmod(ticks, _TICKS_A_DAY)
    seconds, fraction = divmod(in_day, _TICKS_A_SECOND)
    day = date.fromordinal(days + 1).isoformat()
    text = f"{day}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{fraction:07}".rstrip("0") if fraction else text
