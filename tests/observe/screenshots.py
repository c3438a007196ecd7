"""Renews the pictures of the live page and the report in ``docs/images``: ``python -m tests.observe.screenshots``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from batcher.sandbox import SandboxSettings
from batcher.sandbox.records import sample_records
from tests.e2e.program import ROOT, Program, wait_for_line
from tests.e2e.servers import Background
from tests.observe.browser import Browser, Page, browser

_IMAGES = ROOT / "docs" / "images"
_RECORDS = 30_000
_SHARE = 0.7
"""Of the run, when the live page is taken."""
_FAULTS = {"server": 0.01, "client": 0.003, "reset_applied": 0.0005, "throttle": 0.00005}


async def _take(page: Page, name: str) -> None:
    for scheme in ("light", "dark"):
        await page.prefer(scheme)
        await page.resize(1100, 1330)
        await page.until(f"matchMedia('(prefers-color-scheme: {scheme})').matches && charts.size === 4")
        (_IMAGES / f"{name}-{scheme}.png").write_bytes(await page.picture())
    await page.resize(390, 844, mobile=True)
    await page.until("document.querySelector('#rate canvas').clientWidth <= 390")
    (_IMAGES / f"{name}-phone.png").write_bytes(await page.picture())


async def _run(chromium: Browser, program: Program, endpoint: str) -> None:
    (program.directory / "records.ndjson").write_bytes(b"".join(sample_records(_RECORDS)))
    process = program.start(
        *("records.ndjson", "--endpoint", endpoint, "--ledger=run.ledger", "--results=results.ndjson"),
        *("--rejects=rejects.ndjson", "--report=report.html", "--metrics-port=0", "--progress=off"),
    )
    place = await asyncio.to_thread(wait_for_line, process.stderr, "live page at")
    live = await chromium.page()
    await live.open(place.split("live page at ")[1].split(",")[0])
    await live.until(f"shown && shown.live.share_done > {_SHARE}")
    await _take(live, "live")
    await asyncio.to_thread(program.finish, process)
    report = await chromium.page()
    await report.open((program.directory / "report.html").as_uri())
    await report.drawn()
    await _take(report, "report")


async def _main() -> None:
    _IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, Background() as background:
        program = Program(Path(directory))
        try:
            with background.sandbox(SandboxSettings(latency=0.04, capacity=40, faults=_FAULTS, seed=5)) as sandbox:
                async with browser() as chromium:
                    chromium.patience = 600.0
                    await _run(chromium, program, sandbox.url)
        finally:
            program.close()


if __name__ == "__main__":
    asyncio.run(_main())
