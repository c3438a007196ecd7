"""A sandbox with a gate: what is to happen in the midst of a run happens there, however late the test gets its turn."""

from __future__ import annotations

import asyncio
import math

from aiohttp import web

from batcher.sandbox import Sandbox
from batcher.sandbox.wire import Sending


class Gated(Sandbox):
    """Lets requests wait once so many records were applied, until `let` says how many may be; logins go through.

    Those that were let in before may be applied as well: no more than there are connections.
    """

    _most: float = math.inf
    _moved: asyncio.Event
    _loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        """Listen."""
        self._loop, self._moved = asyncio.get_running_loop(), asyncio.Event()
        await super().start()

    def let(self, applied: float = math.inf) -> None:
        """Let so many records be applied, in all; to be called on any thread, and ``stop`` calls it as well."""
        self._loop.call_soon_threadsafe(self._let, applied)

    async def stop(self) -> None:
        """Stop listening."""
        self._let(math.inf)
        await super().stop()

    def _let(self, applied: float) -> None:
        self._most = applied
        self._moved.set()
        self._moved = asyncio.Event()

    async def _call(self, request: web.BaseRequest, body: bytes) -> Sending:
        if b"<AuthenticateWebSafe" not in body:
            while len(self.stats().applied) >= self._most:
                await self._moved.wait()
        return await super()._call(request, body)
