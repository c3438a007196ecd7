"""Why workers wait at the gate: charges each of them to what keeps it from its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batcher.core.slots import Shares, Slots, State, share_out
from batcher.flow.intents import Undeclared
from batcher.flow.waiting import Waiting


class Idle:
    """The account of workers that wait for a turn.

    Args:
        slots: takes the account.
        waiting: records that may be sent once their turn has come.
        undeclared: records that the ledger does not hold yet; None without one.
        in_lanes: how many records wait for an earlier one of their key.
        lack: what a worker waits for where no record waits.

    Attributes:
        slots: likewise.
        workers: theirs.
    """

    def __init__(
        self,
        slots: Slots,
        waiting: Waiting,
        undeclared: Undeclared | None,
        in_lanes: Callable[[], int],
        lack: Callable[[], State],
    ) -> None:
        self.slots = slots
        self.workers = slots.workers
        self._idle = -1
        self._barred: State | None = None
        self._plenty = False
        self._lack = lack
        self._waiting = waiting
        self._undeclared = undeclared
        self._in_lanes = in_lanes

    def charge(self, idle: int, barred: State | None, now: float) -> None:
        """From *now* on *idle* workers wait; *barred* is what keeps every record from being sent, or None."""
        ready = len(self._waiting.ready)
        if self._undeclared is not None:
            ready += self._undeclared.ready
        # Most of the time nothing has changed: as many wait for the same, with a record for each of them.
        plenty = ready >= idle
        if plenty and self._plenty and idle == self._idle and barred is self._barred:
            return
        self._idle, self._barred, self._plenty = idle, barred, plenty
        if idle <= 0:
            shares: Shares = ()
        elif plenty or barred == "pause":
            # Where nothing bars them, records that are ready are not declared yet: else they would be gone.
            shares = ((barred or "ledger", idle),)
        else:
            shares = self._share_out(idle, barred or "ledger", ready)
        if shares != self.slots.shares:
            self.slots.charge(shares, now)

    @contextmanager
    def resting(self, clock: Callable[[], float]) -> Iterator[None]:
        """Within the block a worker that has a turn waits for a login that another one makes."""
        self.slots.pauses.begin(clock())
        try:
            yield
        finally:
            self.slots.pauses.end(clock())

    def _share_out(self, idle: int, state: State, ready: int) -> Shares:
        resting = self._waiting.resting
        if self._undeclared is not None:
            resting += self._undeclared.resting
        return share_out(idle, ((state, ready), ("backoff", resting), ("order", self._in_lanes())), self._lack())
