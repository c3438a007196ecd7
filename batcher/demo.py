"""The commands that need no service but the built-in one: sandbox and demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import uvloop

from batcher.errors import SettingsError
from batcher.observe.lines import Lines
from batcher.observe.logs import logging_to
from batcher.run import run_submit
from batcher.sandbox import Sandbox, SandboxSettings
from batcher.sandbox.records import sample_records
from batcher.settings import Settings

_FINISHED = frozenset({0, 3, 4})
_FAULTS = {"server": 0.005, "deadlock": 0.0005, "client": 0.001, "throttle": 0.0001, "reset_applied": 0.001}


def sandbox_command(settings: SandboxSettings) -> int:
    """Serve the stand-in until SIGINT or SIGTERM.

    Raises:
        SettingsError: the address cannot be had.
    """
    try:
        return uvloop.run(_serve(settings))
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        problem = f"port {settings.port} on {settings.host} cannot be served: {reason}"
        raise SettingsError("--port", problem, "choose another one, or 0") from error


async def _serve(settings: SandboxSettings) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Sandbox(settings) as sandbox:
        sys.stderr.write(f"veetro-batch: sandbox at {sandbox.url} (SOAP 1.1 and 1.2), what it applied at /_stats\n")
        sys.stderr.flush()
        await stopped.wait()
    return 0


def demo_command(records: int, latency: float, directory: str | None, progress: str) -> int:
    """Make up *records*, submit them to a sandbox that takes *latency* seconds a call, and leave the files behind.

    Returns:
        0 once every record has its outcome, whatever it is: some are made to go wrong.

    Raises:
        RunAborted: a file cannot be written.
    """
    lines = Lines(sys.stderr)
    folder = Path(directory or time.strftime("veetro-demo-%Y%m%d-%H%M%S"))
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "records.ndjson"
    with source.open("wb") as file:
        file.writelines(sample_records(records))
    lines.write(f"veetro-batch: {records:,} made-up records in {source}")
    with logging_to(lines):
        code = uvloop.run(_demo(source, latency, progress, lines))
    lines.write(f"veetro-batch: this was a demo; a run with these outcomes exits with {code}. Look into {folder}/")
    return 0 if code in _FINISHED else code


async def _demo(source: Path, latency: float, progress: str, lines: Lines) -> int:
    async with contextlib.AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            Sandbox(SandboxSettings(latency=latency, faults=_FAULTS, login=("demo@example.com", "demo")))
        )
        folder = source.parent
        (folder / "password").write_text("demo\n")
        settings = Settings(
            inputs=(str(source),),
            endpoint=sandbox.url,
            email="demo@example.com",
            password_file=str(folder / "password"),
            ledger=str(folder / "ledger"),
            results=str(folder / "results.ndjson"),
            rejects=str(folder / "rejects.ndjson"),
            summary=str(folder / "summary.json"),
            report=str(folder / "report.html"),
            progress=progress,  # type: ignore[arg-type] # one of the choices, as the command line has checked
        )
        return await run_submit(settings, lines)
