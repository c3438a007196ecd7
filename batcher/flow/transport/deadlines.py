"""One timer for the time limits of all exchanges.

All exchanges of a transport may last equally long, so they reach their deadlines in the order in which they began: one
timer, set to the oldest, serves them all. A timer and a timeout context for each exchange would cost ten times as much.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

Exchanging: TypeAlias = asyncio.Task[Any]
"""A task that makes an exchange."""


class Deadlines:
    """Cancels the task of each exchange that lasts longer than *timeout* seconds, or is under way at the end.

    Attributes:
        timeout: seconds.
        closed: there will be no further exchange.
    """

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout = timeout
        self.closed = False
        # By task, which makes one exchange at a time: the deadline, and how often it had been asked to cancel before.
        self._open: dict[Exchanging, tuple[float, int]] = {}
        self._reached: dict[Exchanging, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Exchanging:
        """Start the clock for an exchange of the current task, which is given back."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("an exchange needs a task to run in")
        if task in self._open:
            raise RuntimeError("a task makes one exchange at a time")
        at = self._loop.time() + self.timeout
        self._open[task] = at, task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(at, self._expire)
        return task

    def end(self, task: Exchanging) -> bool:
        """The exchange of *task* has ended; call it exactly once.

        Returns:
            Whether a cancellation that the task now sees is its deadline's, and not (also) somebody else's.
        """
        if self._open.pop(task, None) is not None:
            return False
        return task.uncancel() <= self._reached.pop(task)

    def close(self) -> None:
        """Stop the timer, and end what is under way as if its time were up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.closed = True
        for task in list(self._open):
            self._reach(task)

    def _reach(self, task: Exchanging) -> None:
        _, self._reached[task] = self._open.pop(task)
        task.cancel()

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._open:
            task, (at, _) = next(iter(self._open.items()))
            if at > now:
                self._timer = self._loop.call_at(at, self._expire)
                return
            self._reach(task)
