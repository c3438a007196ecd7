"""One timer for the time limits of all exchanges.

All exchanges of a transport may last equally long, so they reach their deadlines in the order in which they began: one
timer, set to the oldest, serves them all. A timer and a timeout context for each exchange would cost ten times as much.
"""

from __future__ import annotations

import asyncio


class Deadline:
    """The deadline of one exchange, run by one task."""

    __slots__ = ("_cancelling", "_watch", "at", "reached", "task")

    def __init__(self, watch: Deadlines, task: asyncio.Task[object], at: float) -> None:
        self._watch = watch
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
            self._watch.forget(self)
            return False
        return self.task.uncancel() <= self._cancelling


class Deadlines:
    """Cancels the task of each exchange that lasts longer than *timeout* seconds."""

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """Start the clock for an exchange of the current task."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("an exchange needs a task to run in")
        deadline = Deadline(self, task, self._loop.time() + self._timeout)
        self._open[deadline] = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline.at, self._expire)
        return deadline

    def forget(self, deadline: Deadline) -> None:
        """Take *deadline* out: its exchange is over."""
        del self._open[deadline]

    def close(self) -> None:
        """Stop the timer; deadlines that are still open are never reached."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._open:
            deadline = next(iter(self._open))
            if deadline.at > now:
                self._timer = self._loop.call_at(deadline.at, self._expire)
                return
            del self._open[deadline]
            deadline.reached = True
            deadline.task.cancel()
