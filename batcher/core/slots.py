"""Where the workers' time goes: each second of each worker is charged to one state, so that the states add up.

A worker is a slot for a request. It has a turn (a record that it sends), or it waits for one. Nothing is stamped worker
by worker: sums grow by *time times how many*, and only where such a number changes. Who waits for a turn is looked at
once a turn of the event loop, so that a worker may be charged for two things for the rest of one: that is taken back.

========== ============================================================================================
state      the worker
========== ============================================================================================
input      has no record: none was read yet, or none is left
order      has none that may go: those that were read wait for an earlier one of their key
permit     may not send one: as many as the limit allows are in flight
rate       may not send one yet: ``--rate``
connect    waits for a connection
server     has sent, or sends, a request, and nothing of the answer has come
read       reads an answer, and does with it what is to be done
ledger     waits until the ledger holds what may be sent, or what has come of it
output     has no record, as result lines that nobody has taken fill the room for more
backoff    has none whose time has come again
pause      may not send: an outage, a pause that the service has asked for, a login; or the run ends early
========== ============================================================================================
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

State: TypeAlias = Literal[
    "input", "order", "permit", "rate", "connect", "server", "read", "ledger", "output", "backoff", "pause"
]
Shares: TypeAlias = tuple[tuple[State, int], ...]
STATES: Final[tuple[State, ...]] = get_args(State)
_STAMPED = ("connect", "server")


class Wait:
    """Something that any number of workers wait for at a time, and the seconds that this took them together."""

    __slots__ = ("_open", "_seconds")

    def __init__(self) -> None:
        self._open = 0
        self._seconds = 0.0

    def begin(self, now: float) -> None:
        """One more waits."""
        self._open += 1
        self._seconds -= now

    def end(self, now: float) -> None:
        """One waits no longer."""
        self._open -= 1
        self._seconds += now

    def seconds(self, now: float) -> float:
        """All their waiting, up to *now*."""
        return self._seconds + self._open * now


class Slots:
    """The account of all workers; every method takes the present instant, which never goes back.

    Args:
        workers: how many there are, from the beginning to the end.
        now: when they begin, without a record.

    Attributes:
        workers: likewise.
        shares: of those that wait for a turn, how many wait for what, as it was last told.
        pauses: those that have a turn and wait for a login that another one makes.
    """

    def __init__(self, workers: int, now: float) -> None:
        self.workers = workers
        self.shares: Shares = (("input", workers),)
        self.pauses = Wait()
        self._began = now
        self._ended: float | None = None
        self._charged = now
        self._seconds: dict[str, float] = dict.fromkeys(STATES, 0.0)
        self._seen = self._seconds.copy()  # when they were last asked for
        self._told = self._seconds.copy()
        self._told_at = now

    def charge(self, shares: Shares, now: float) -> None:
        """From *now* on so many workers wait for a turn, by what keeps it from them; nobody does after the end."""
        if self._ended is None:
            self._settle(now)
            self.shares = shares

    def end(self, now: float) -> None:
        """The workers are gone."""
        self._ended = now

    def seconds(self, now: float, connect: Wait, server: Wait) -> dict[str, float]:
        """Seconds by state up to *now*, or to the end: they never fall, and add up to the workers' time.

        *connect* and *server* are told by whoever makes exchanges.
        """
        if self._ended is not None:
            now = self._ended
        self._settle(now)
        seconds = self._seconds.copy()
        seconds["pause"] += self.pauses.seconds(now)
        seconds["connect"], seconds["server"] = connect.seconds(now), server.seconds(now)
        grown: dict[str, float] = {state: max(0.0, seconds[state] - self._seen[state]) for state in STATES}
        rest = self.workers * (now - self._told_at) - sum(grown.values())
        # Charged twice was a worker that no longer waited for its turn: its new state is stamped exactly.
        for state in sorted(STATES, key=lambda state: (state in _STAMPED, -grown[state])):
            back = min(grown[state], max(0.0, -rest))
            grown[state] -= back
            rest += back
        grown["read"] = max(0.0, rest)
        self._seen, self._told_at = seconds, now
        self._told = {state: before + grown[state] for state, before in self._told.items()}
        return self._told.copy()

    def _settle(self, now: float) -> None:
        passed = now - self._charged
        if passed > 0.0:
            self._charged = now
            for state, count in self.shares:
                self._seconds[state] += passed * count


def share_out(idle: int, waiting: Shares, rest: State) -> Shares:
    """What keeps *idle* workers from their turn: one for each record that waits, by the state that it waits in.

    Args:
        idle: workers that wait for a turn.
        waiting: records by state, what stands first is shared out first.
        rest: the state of workers for which there is no record.
    """
    shares = []
    for state, count in waiting:
        if count and idle:
            share = min(count, idle)
            shares.append((state, share))
            idle -= share
    if idle:
        shares.append((rest, idle))
    return tuple(shares)
