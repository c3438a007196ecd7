import asyncio
import threading
from collections.abc import Iterator

import pytest

from batcher.sandbox import Sandbox
from tests.asmx.observation import observe
from tests.asmx.odd_envelopes import CASES, Case
from tests.asmx.server import AsmxService


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """The address of a sandbox that runs on an event loop of its own, for clients that block."""
    started: list[str] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        try:
            async with Sandbox() as sandbox:
                started.append(sandbox.url)
                ready.set()
                await stop.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    yield started[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_real_server(asmx: AsmxService, case: Case) -> None:
    """The real server makes of an odd request what the corpus says."""
    assert str(observe(asmx.url, case)) == case.expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sandbox_agrees(asmx: AsmxService, sandbox_url: str, case: Case) -> None:
    """A client sees no difference between the sandbox and the real server."""
    assert observe(sandbox_url, case) == observe(asmx.url, case)
