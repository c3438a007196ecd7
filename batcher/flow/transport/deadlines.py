"""One timer for the time limits of all exchanges.

All exchanges of a transport may last equally long, so they reach their deadlines in the order in which they began: one
timer, set to the oldest, serves them all. A timer and a timeout context for each exchange would cost ten times as much.
"""

from __future__ import annotations

import asyncio


class Deadline:
    """The deadline of one exchange, run by one task."""

    __slots__ = ("_cancelling", "at", "reached", "task", "watch")

    def __init__(self, watch: Deadlines, task: asyncio.Task[object], at: float) -> None:
        self.watch = watch
        self._cancelling = task.cancelling()
        self.task = task
        self.at = at
        self.reached = False

    def end(self) -> bool:
        """The exchange has ended; call it exactly once.

        Returns:
            Whether a cancellation that the task now sees is this deadline's, and not (also) somebody else's.
        """
        if not self.reached:
            self.watch.forget(self)
            return False
        return self.task.uncancel() <= self._cancelling


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
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """Start the clock for an exchange of the current task."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("an exchange needs a task to run in")
        deadline = Deadline(self, task, self._loop.time() + self.timeout)
        self._open[deadline] = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline.at, self._expire)
        return deadline

    def forget(self, deadline: Deadline) -> None:
        """Take *deadline* out: its exchange is over."""
        del self._open[deadline]

    def close(self) -> None:
        """Stop the timer, and end what is under way as if its time were up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.closed = True
        for deadline in self._open:
            self._reach(deadline)
        self._open.clear()

    def _reach(self, deadline: Deadline) -> None:
        deadline.reached = True
        deadline.task.cancel()

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._open:
            deadline = next(iter(self._open))
            if deadline.at > now:
                self._timer = self._loop.call_at(deadline.at, self._expire)
                return
            del self._open[deadline]
            self._reach(deadline)
