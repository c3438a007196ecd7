"""Values that settings hold and others use: shares and shards of the records, secret texts, and what hides them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, quote_plus

_LEAST = 4
"""Characters of a secret that is hidden: one that is shorter stands in every other word by chance."""
_SECRETS = 100
"""So many secrets are hidden, the latest: a run of a night may log in again and again."""


class Share(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the parts into which the records of a run are divided.

    Attributes:
        index: which, from 0.
        count: how many there are.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


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


class Mask:
    """Puts ``***`` where a secret stands in a text that comes from others: a service may echo what it was sent."""

    def __init__(self) -> None:
        self._forms: deque[tuple[str, ...]] = deque(maxlen=_SECRETS)

    def add(self, secret: Secret) -> None:
        """Hide *secret* from now on, also as markup and addresses write it."""
        import html  # noqa: PLC0415 - most settings hold no secret

        text = secret.reveal()
        forms = {text, html.escape(text), html.escape(text, quote=False), quote(text, safe=""), quote_plus(text)}
        if len(text) >= _LEAST:
            # What contains another form goes first, or its ends would be left.
            self._forms.append(tuple(sorted(forms, key=len, reverse=True)))

    def hide(self, text: str) -> str:
        """*text* without the secrets; to be asked before it is cut, for half a secret is not found."""
        for forms in self._forms:
            for form in forms:
                if form in text:
                    text = text.replace(form, "***")
        return text
