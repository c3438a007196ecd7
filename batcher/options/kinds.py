"""The kinds of values that options have: text to value, and value to a text that gives the same value again.

Here are numbers, spans of time, sizes, shares and words; paths, patterns, addresses and secrets are in ``texts``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from batcher.errors import SettingsError
from batcher.values import Shard, Share

T = TypeVar("T")
W = TypeVar("W", bound=str)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One way to write a value.

    Attributes:
        expects: what a right text is, as it goes on after "is not".
        parse: the text's value; raises ``ValueError``, with the reason where *expects* does not tell it.
        show: the value as TOML takes it; ``parse(str(show(value)))`` is *value* again.
        number: TOML may give a number instead of text.
        hidden: the text may hold a secret, so no error quotes it.
    """

    expects: str
    parse: Callable[[str], T]
    show: Callable[[T], str | int | float] = str
    number: bool = False
    hidden: bool = False

    def read(self, text: str, name: str) -> T:
        """The value of *text*; a ``SettingsError`` that names the option as *name* where there is none."""
        try:
            return self.parse(text)
        except ValueError as error:
            given = "the value" if self.hidden else repr(text)
            reason = f": {error}" if str(error) else ""
            raise SettingsError(name, f"{given} is not {self.expects}{reason}") from error


def whole(least: int, most: int) -> Kind[int]:
    """A whole number from *least* to *most*."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return Kind(f"a whole number from {least} to {most}", parse, lambda value: value, number=True)


_SPANS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 366 * 86400.0


def duration(*, zero: bool = False) -> Kind[float]:
    """A span of time in seconds, up to a year; *zero* says whether none at all is one."""

    def parse(text: str) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)", text.strip().lower())
        if match is None or match[2] not in _SPANS:
            raise ValueError
        # Division keeps 100ms the same number as 0.1.
        seconds = float(match[1]) / 1000 if match[2] == "ms" else float(match[1]) * _SPANS[match[2]]
        if not 0 <= seconds <= _LONGEST or (seconds == 0 and not zero):
            raise ValueError("out of range" if seconds else "it must be above 0")
        return seconds

    expects = "a time in seconds, or with its unit, such as 90, 500ms, 2m, 1h"
    return Kind(expects, parse, _short_number, number=True)


_RATES = {"s": 1.0, "m": 60.0, "h": 3600.0}
_FASTEST = 1_000_000.0


def _rate(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*/\s*([smh])", text.strip().lower())
    if match is None:
        raise ValueError
    rate = float(match[1]) / _RATES[match[2]]
    if not 0 < rate <= _FASTEST:
        raise ValueError("out of range" if rate else "it must be above 0")
    return rate


def _show_rate(rate: float) -> str:
    """In the unit in which it is a plain number, as it was probably given."""
    texts = [f"{_short_number(round(rate * seconds, 6))}/{unit}" for unit, seconds in _RATES.items()]
    return next((text for text in texts if not text.startswith("0/") and _rate(text) == rate), f"{rate:.17f}/s")


RATE = Kind("a number of requests in a second, minute or hour, such as 50/s, 300/m or 1000/h", _rate, _show_rate)
"""Requests a second."""


_SIZES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def size(most: int) -> Kind[int]:
    """Bytes, from 1 to *most*; ``64k``, ``16 MiB`` and ``16MB`` all count in powers of 1024."""

    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,15})\s*(?:([kmg]?)(?:i?b)?)", text.strip().lower())
        if match is None:
            raise ValueError
        value = int(match[1]) * _SIZES[match[2]]
        if not 1 <= value <= most:
            raise ValueError(f"it must be from 1 to {_show_size(most)}")
        return value

    return Kind("a size in bytes, or with its unit, such as 65536, 64k, 16 MiB", parse, _show_size, number=True)


def _show_size(value: int) -> str | int:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= unit and value % unit == 0:
            return f"{value // unit} {name}"
    return value


def _short_number(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _percent(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*%", text.strip())
    if match is None or not 0 <= (value := float(match[1])) <= 100:  # noqa: PLR2004 - all of it
        raise ValueError
    return value


PERCENT = Kind("a share from 0% to 100%", lambda text: _percent(text) / 100, lambda part: f"{part * 100:.10g}%")
"""A part of a whole as a number from 0 to 1, written in per cent."""


def _share(text: str) -> Share:
    if text.strip().endswith("%"):
        return Share(_percent(text), percent=True)
    if re.fullmatch(r"[0-9]{1,15}", text.strip()):
        return Share(int(text))
    raise ValueError


def _show_share(share: Share) -> str | int:
    return str(share) if share.percent else int(share.amount)


SHARE = Kind("a number of records or a share of them, such as 20 or 5%", _share, _show_share, number=True)

_MOST_SHARDS = 1_000_000


def _shard(text: str) -> Shard:
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    if match is None:
        raise ValueError
    shard = Shard(int(match[1]), int(match[2]))
    if not 1 <= shard.count <= _MOST_SHARDS:
        raise ValueError(f"there may be 1 to {_MOST_SHARDS} shards")
    if shard.index >= shard.count:
        raise ValueError(f"the first one is 0, so the last one is {shard.count - 1}")
    return shard


SHARD = Kind("a shard and how many there are, such as 0/16", _shard)
"""A part of the records, as ``I/N``."""

StopAfter: TypeAlias = Share | Literal["default"] | None


def _stop_after(text: str) -> StopAfter:
    if text == "default":
        return "default"
    share = None if text == "none" else _share(text)
    if share is not None and share.amount == 0:
        raise ValueError("it must be above 0")
    return share


def _show_stop_after(value: StopAfter) -> str | int:
    return _show_share(value) if isinstance(value, Share) else value or "none"


STOP_AFTER: Kind[StopAfter] = Kind(
    "a number of records or a share of them, such as 20 or 5%, or none, or default",
    _stop_after,
    _show_stop_after,
    number=True,
)


def choice(*words: W, number: bool = False) -> Kind[W]:
    """One of a few words."""
    known = {str(word): word for word in words}

    def parse(text: str) -> W:
        if text not in known:
            raise ValueError
        return known[text]

    return Kind(" or ".join(words), parse, str, number)


_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _SWITCH:
        raise ValueError
    return _SWITCH[word]


SWITCH = Kind("on or off", _switch, lambda value: value, number=True)
"""On or off. On the command line its name alone turns it on; in TOML it is a boolean."""


def optional(kind: Kind[T], word: str = "none") -> Kind[T | None]:
    """*kind*, or nothing, for which *word* stands."""

    def parse(text: str) -> T | None:
        return None if text == word else kind.parse(text)

    def show(value: T | None) -> str | int | float:
        return word if value is None else kind.show(value)

    expects = kind.expects if word in ("", "none") else f"{kind.expects}, or {word}"
    return Kind(expects, parse, show, kind.number, kind.hidden)
