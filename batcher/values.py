"""Two values that settings hold and others use: a share of the records, and a text that nobody may see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """So many records, or so many of each hundred.

    Attributes:
        amount: records; or per cent, where *percent* says so.
        percent: what *amount* counts.
    """

    amount: float
    percent: bool = False

    def of(self, total: int) -> float:
        """How many of *total* records this is; not rounded to whole records."""
        # 7% of 100 is 7.000000000000001 in binary fractions: more than the 7 records that are meant.
        return round(total * self.amount / 100, 6) if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount:.12g}{'%' if self.percent else ''}"


class Secret:
    """A password or session key; it shows itself in no repr, log or traceback, only through ``reveal``.

    Line ends behind the text are left out: editors and ``echo`` put them into files and variables.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text.rstrip("\r\n")

    def reveal(self) -> str:
        """The text itself, for the request that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)
