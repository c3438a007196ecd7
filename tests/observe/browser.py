"""Debian's chromium without a window, driven by its own protocol over a WebSocket: what it draws, says and asks for.

The protocol is documented at https://chromedevtools.github.io/devtools-protocol/. No driver is needed besides aiohttp.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

PATIENCE_S = 100.0
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it runs as root in CI
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


def missing() -> list[str]:
    """The programs that are not there."""
    return [name for name in ("chromium",) if shutil.which(name) is None]


@dataclass
class Page:
    """One tab.

    Attributes:
        asked: the addresses of all that it has asked for.
        complaints: errors and warnings in its console, and exceptions.
    """

    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _browser: Browser = field(kw_only=True)
    _session: str = field(kw_only=True)
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Ask the tab for something."""
        return await self._browser.send(method, given, self._session)

    async def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self._loaded.clear()
        answer = await self.send("Page.navigate", url=url)
        assert "errorText" not in answer, answer["errorText"]
        await asyncio.wait_for(self._loaded.wait(), PATIENCE_S)

    async def value(self, expression: str) -> Any:
        """What *expression*, JavaScript, is worth; awaited where it is a promise."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait in the page, frame by frame, until *expression* is worth something; that."""
        return await self.value(
            "new Promise((done) => { const look = () => { let found = null; try { found = "
            + expression
            + "; } catch {}"
            " if (found) done(found); else requestAnimationFrame(look); }; look(); })"
        )

    async def drawn(self) -> None:
        """Wait until the page has drawn itself."""
        await self.until("document.documentElement.dataset.drawn")

    async def text(self, selector: str) -> str:
        """What people read there, white space folded."""
        found = await self.value(f"document.querySelector({orjson.dumps(selector).decode()}).innerText")
        return " ".join(str(found).split())

    async def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Give the tab a size."""
        ratio = 2 if mobile else 1
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=mobile
        )

    async def prefer(self, scheme: str) -> None:
        """Prefer ``dark`` or ``light``."""
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def press(self, key: str) -> None:
        """Press a key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def picture(self, *, whole: bool = False) -> bytes:
        """What it shows, as a PNG; *whole*: all of the page, not only what is in sight."""
        answer = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def hear(self, method: str, told: Mapping[str, Any]) -> None:
        """Take note of what the tab says by itself."""
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(told["entry"]["text"])
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(told["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case _:
                pass


class Browser:
    """A running browser; see ``browser``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self.patience = PATIENCE_S

    async def listen(self) -> None:
        """Hear what the browser says, until it goes away."""
        async for message in self._socket:
            told = orjson.loads(message.data)
            if (waiting := self._waiting.pop(told.get("id", 0), None)) is not None:
                if "error" in told:
                    waiting.set_exception(AssertionError(str(told["error"])))
                else:
                    waiting.set_result(told["result"])
            elif (page := self._pages.get(told.get("sessionId", ""))) is not None:
                page.hear(told["method"], told["params"])

    async def send(self, method: str, given: Mapping[str, Any], session: str | None = None) -> dict[str, Any]:
        """Ask for something and wait for the answer."""
        self._count += 1
        answer = self._waiting[self._count] = asyncio.get_running_loop().create_future()
        addressed = {} if session is None else {"sessionId": session}
        asked = {"id": self._count, "method": method, "params": given, **addressed}
        await self._socket.send_str(orjson.dumps(asked).decode())
        return await asyncio.wait_for(answer, self.patience)

    async def page(self) -> Page:
        """A new tab, whose requests and complaints are noted from the beginning."""
        target = (await self.send("Target.createTarget", {"url": "about:blank"}))["targetId"]
        attached = await self.send("Target.attachToTarget", {"targetId": target, "flatten": True})
        session = attached["sessionId"]
        page = self._pages[session] = Page(_browser=self, _session=session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.send(f"{domain}.enable")
        return page


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser of its own, without anything remembered, for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as profile:
        process = await asyncio.create_subprocess_exec(
            "chromium",
            *_OPTIONS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(await _address(process), max_msg_size=0) as ws,
            ):
                running = Browser(ws)
                listening = asyncio.create_task(running.listen())
                try:
                    yield running
                    await running.send("Browser.close", {})
                finally:
                    listening.cancel()
        finally:
            if process.returncode is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.communicate(), 10)
            if process.returncode is None:
                process.kill()
            await process.wait()
            shutil.rmtree(Path(profile) / "Default", ignore_errors=True)


async def _address(process: asyncio.subprocess.Process) -> str:
    """Where it listens, as it says on standard error."""
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(PATIENCE_S):
        while line := await process.stderr.readline():
            said += line
            if line.startswith(b"DevTools listening on "):
                return line.split()[-1].decode()
    raise AssertionError(said.decode())
