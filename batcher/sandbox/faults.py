"""Faults on demand: which there are, how they are asked for, and which request gets one.

A fault hits only requests that reached SetOutlookSyncRecord, never a login and never what was refused anyhow.
Whether the record was applied before the answer went wrong is part of each kind's meaning:

| kind | applied | what the client gets |
|---|---|---|
| `server` | no | a Server fault |
| `deadlock` | no | a Server fault whose text says that the call was chosen as a deadlock victim |
| `late_server` | yes | a Server fault, after the record was saved |
| `client` | no | a Client fault |
| `busy` | no | 503 with `Retry-After: 1` |
| `throttle` | no | 429 without Retry-After |
| `gateway` | no | 502 with a proxy's HTML |
| `gateway_applied` | yes | 504 with a proxy's HTML |
| `error_page` | no | 500 with HTML and no fault |
| `maintenance` | no | 200 with an HTML page that does not speak of a login |
| `login_page` | no | 200 with an HTML page that asks for a login |
| `unauthorized` | no | 401 |
| `not_found` | no | 404 with HTML |
| `reset` | no | a connection reset |
| `reset_applied` | yes | a connection reset |
| `cut` | yes | half of the promised answer, then the end of the connection |
| `hang` | no | nothing, until the client goes away |
| `hang_applied` | yes | nothing, until the client goes away |
| `slow` | yes | the good answer after ten times the latency, at least a second |
| `dribble` | yes | the good answer, head and all, in small pieces |
| `chunked` | yes | the good answer in chunks |
| `close` | yes | the good answer without a length: it ends where the connection does |
| `gzip` | yes | the good answer compressed, where the client accepts that |
| `garbage` | no | bytes that are not HTTP |
| `strange_text` | yes | a good answer whose ErrorMsg holds `&#xB;`, which an XML parser refuses |
| `empty` | yes | 200 with an empty body |
| `no_result` | no | 200 with an empty response element |
| `bomb` | yes | 64 MiB of blanks in 64 KiB of gzip, where the client accepts that |
| `entities` | yes | an answer with a DOCTYPE whose entities expand to gigabytes |
"""

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import accumulate
from random import Random
from typing import Final

__all__ = ["KINDS", "Draw", "checked_faults", "parse_faults"]

_NOT_APPLIED: Final = (
    "server deadlock client busy throttle gateway error_page maintenance login_page unauthorized not_found reset hang "
    "garbage no_result"
)
_APPLIED: Final = (
    "late_server gateway_applied reset_applied cut hang_applied slow dribble chunked close gzip strange_text empty "
    "bomb entities"
)
KINDS: Final[dict[str, bool]] = {
    **dict.fromkeys(_NOT_APPLIED.split(), False),
    **dict.fromkeys(_APPLIED.split(), True),
}
"""Every kind, and whether the record is applied."""


class Draw:
    """Draws each request's fault: the n-th call of `next` is the n-th request, and the same *seed* draws the same."""

    def __init__(self, faults: Mapping[str, float], seed: int) -> None:
        self._bounds = tuple(zip(accumulate(faults.values()), faults, strict=True))
        # Not for secrets: a run with faults must be repeatable.
        self._random = Random(seed)  # noqa: S311 - a simulation

    def next(self) -> str | None:
        """The kind that hits the next request, or None."""
        if not self._bounds:
            return None
        point = self._random.random()
        return next((kind for bound, kind in self._bounds if point < bound), None)


def checked_faults(faults: Mapping[str, float]) -> dict[str, float]:
    """A copy of *faults*; `ValueError` for an unknown kind, a share outside 0 to 1 or a sum over 1."""
    for kind, share in faults.items():
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(KINDS)}"
            raise ValueError(f"unknown fault {kind!r}; {hint}")
        if not 0 <= share <= 1:
            raise ValueError(f"fault {kind}: a share is between 0% and 100%, not {share * 100:.6g}%")
    # Ten shares of 10% are exactly 100%, though not as floats.
    if sum(faults.values()) > 1 + 1e-9:
        raise ValueError(f"the faults' shares add up to {sum(faults.values()):.1%}; they must not exceed 100%")
    return dict(faults)


def parse_faults(text: str) -> dict[str, float]:
    """Shares by kind from text like `server=1%,reset=0.005`; `ValueError` says what is wrong and what is right."""
    faults: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        kind, equals, share = (piece.strip() for piece in item.partition("="))
        if not equals:
            raise ValueError(f"fault {item!r} has no share; write for example {item}=1%")
        if kind in faults:
            raise ValueError(f"fault {kind} is given twice")
        try:
            faults[kind] = float(share[:-1]) / 100 if share.endswith("%") else float(share)
        except ValueError:
            raise ValueError(
                f"fault {kind}: {share!r} is no share; write for example {kind}=1% or {kind}=0.01"
            ) from None
    return checked_faults(faults)
