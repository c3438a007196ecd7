"""A service that falls silent."""

from __future__ import annotations

import asyncio

from tests.e2e.servers import Held, Request, http, saved

ANSWERED = 10
"""Requests that are answered before the service falls silent."""


class Silent(Held):
    """Answers the first requests and then no more until it is released."""

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.number <= ANSWERED:
            writer.write(http("200 OK", saved(request)))
        else:
            await super().__call__(request, writer)
