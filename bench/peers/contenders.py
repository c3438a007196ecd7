"""Who is compared: what each one does, what it leaves out, and how it is started."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CONNECTIONS = 64
ACTION = '"http://schema.veetro.com/SetOutlookSyncRecord"'
_HERE = Path(__file__).parent
_WRK_RATE = 10_000
"""Records that stand for one more second of wrk, which is told a time and no number."""


@dataclass(frozen=True)
class Work:
    """What one start of a contender is to do.

    Attributes:
        count: how many records to send.
        records: a file with so many records, one a line.
        body: a file with the envelope of one of them.
        folder: an empty folder for what it writes.
        url: where to send them.
    """

    count: int
    records: Path
    body: Path
    folder: Path
    url: str


@dataclass(frozen=True)
class Contender:
    """One who is measured.

    Attributes:
        name: in the tables.
        does: what it does for each record.
        leaves_out: what it does not do that others do.
        share: the part of the records that it is given; the slow ones get fewer.
        command: its command line for some work.
        done: how many records were delivered, from what it has printed; for ours, from its results.
        missing: why it cannot be started, or None.
    """

    name: str
    does: str
    leaves_out: str
    share: float
    command: Callable[[Work], list[str]]
    done: Callable[[Work, str], int]
    missing: Callable[[], str | None]


def _needs_program(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed (bench/apt-packages.txt)"


def _needs_module(name: str) -> Callable[[], str | None]:
    return lambda: None if importlib.util.find_spec(name) else f"{name} is not installed (dependency group bench)"


def nothing() -> None:
    """Nothing is missing."""


def node_modules() -> Path:
    """Where node-soap is installed: outside the repository."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache_home) / "veetro-batch-bench" / "node_modules"


@cache
def _install_node_soap() -> str | None:
    """Install what ``package.json`` says, where it is not there yet; why it cannot be had, or None."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "node or npm is not installed (bench/apt-packages.txt)"
    folder = node_modules().parent
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_HERE / "package.json", folder)
    command = [npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return f"npm install: {done.stderr.strip()[-300:]}" if done.returncode else None


@cache
def _compile_ours() -> str | None:
    """Unpack a wheel of this tree that is compiled to C, made in a copy of it; why there is none, or None."""
    folder = compiled()
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "tree"
        shutil.copytree(_HERE.parents[1], copy, ignore=shutil.ignore_patterns(".*", "build", "dist", "__pycache__"))
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", name, str(copy)]
        environment = {**os.environ, "HATCH_BUILD_HOOK_ENABLE_MYPYC": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"it cannot be compiled: {done.stderr.strip()[-300:]}"
        with zipfile.ZipFile(next(Path(name).glob("*.whl"))) as wheel:
            wheel.extractall(folder)
    return None


def compiled() -> Path:
    """Where our compiled modules are unpacked: outside the repository."""
    return node_modules().parent / "compiled"


def _wrk(work: Work) -> list[str]:
    seconds = 1 + round(work.count / _WRK_RATE)
    script = ["-s", str(_HERE / "post.lua"), work.url, "--", str(work.body), ACTION]
    return ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *script]


def _wrk_done(_: Work, printed: str) -> int:
    return 0 if "Non-2xx" in printed or "Socket errors" in printed else _number(r"(\d+) requests in", printed)


def _hey(work: Work) -> list[str]:
    request = ["-m", "POST", "-T", "text/xml; charset=utf-8", "-H", f"SOAPAction: {ACTION}", "-D", str(work.body)]
    return ["hey", "-n", str(work.count), "-c", str(CONNECTIONS), *request, work.url]


def _hey_done(_: Work, printed: str) -> int:
    return _number(r"\[200\]\s+(\d+) responses", printed)


def _number(expression: str, printed: str) -> int:
    found = re.search(expression, printed)
    return int(found.group(1)) if found else 0


def _printed(_: Work, printed: str) -> int:
    return _number(r"(\d+)\s*$", printed)


def _bare(work: Work) -> list[str]:
    arguments = [str(work.count), str(work.body), work.url, ACTION, str(CONNECTIONS)]
    return [sys.executable, "-m", "bench.peers.bare", *arguments]


def _script(work: Work) -> list[str]:
    arguments = [str(work.records), str(work.folder / "results"), work.url, ACTION, str(CONNECTIONS)]
    return [sys.executable, "-m", "bench.peers.script", *arguments]


def _from_wsdl(work: Work) -> list[str]:
    wsdl = work.folder / "service.wsdl"
    wsdl.write_text((_HERE / "service.wsdl").read_text().replace("http://127.0.0.1/xml", work.url))
    return [str(work.records), str(work.folder / "results"), str(wsdl), str(CONNECTIONS)]


def _node_soap(work: Work) -> list[str]:
    return ["node", str(_HERE / "node_soap.js"), *_from_wsdl(work)]


def _zeep_threads(work: Work) -> list[str]:
    return [sys.executable, "-m", "bench.peers.zeep_threads", *_from_wsdl(work)]


def _zeep_async(work: Work) -> list[str]:
    return [sys.executable, "-m", "bench.peers.zeep_async", *_from_wsdl(work)]


def ours(*options: str, of: Path | None = None) -> Callable[[Work], list[str]]:
    """The program with *options*, of which ``{folder}`` is the folder that it may write to; *of* another tree."""

    def command(work: Work) -> list[str]:
        paths = [option.format(folder=work.folder) for option in options]
        program = [sys.executable, "-m"] if of is None else ["env", f"PYTHONPATH={of}", sys.executable, "-P", "-m"]
        start = [*program, "batcher", str(work.records), "--endpoint", work.url, "--progress", "plain"]
        results = ["--results", str(work.folder / "results"), "--rejects", str(work.folder / "rejects")]
        return [*start, *results, "--metrics-port", "0", "--concurrency", str(CONNECTIONS), *paths]

    return command


def delivered(work: Work, _: str) -> int:
    """Records that the program's results say are delivered."""
    with (work.folder / "results").open("rb") as lines:
        return sum(b'"outcome":"delivered"' in line for line in lines)


_CONSTANT = "sends a constant body"
_NOTHING_READ = "reads no records, parses no answers, writes no results"
_NO_SAFETY = "validation, second tries, ledger, metrics"
_SCRIPT = "orjson, lxml, aiohttp, uvloop: reads NDJSON, makes the envelope, parses the answer, writes the results"
_LIBRARY = "reads NDJSON; makes the envelope from a WSDL, parses the answer to typed values, writes the results"
_EVERYTHING = (
    "reads and validates NDJSON, makes the envelope, judges the answer, writes results with the whole answer, "
    "hash, retries, breaker, metrics, progress"
)

CONTENDERS = (
    Contender("wrk (C)", _CONSTANT, _NOTHING_READ, 1, _wrk, _wrk_done, _needs_program("wrk")),
    Contender("hey (Go)", _CONSTANT, _NOTHING_READ, 1, _hey, _hey_done, _needs_program("hey")),
    Contender("aiohttp session.post alone", _CONSTANT, _NOTHING_READ, 1, _bare, _printed, nothing),
    Contender("competent script", _SCRIPT, _NO_SAFETY, 0.5, _script, _printed, nothing),
    Contender("node-soap", _LIBRARY, _NO_SAFETY, 0.2, _node_soap, _printed, _install_node_soap),
    Contender("zeep, threads", _LIBRARY, _NO_SAFETY, 0.08, _zeep_threads, _printed, _needs_module("zeep")),
    Contender("zeep, asyncio", _LIBRARY, _NO_SAFETY, 0.08, _zeep_async, _printed, _needs_module("httpx")),
    Contender(
        "veetro-batch, everything on",
        f"{_EVERYTHING}, ledger",
        "order by key: the constant answer names one key for all",
        1,
        ours("--order-by", "none", "--ledger", "{folder}/ledger"),
        delivered,
        nothing,
    ),
    Contender(
        "veetro-batch compiled, everything on",
        f"{_EVERYTHING}, ledger",
        "order by key, as above",
        1,
        ours("--order-by", "none", "--ledger", "{folder}/ledger", of=compiled()),
        delivered,
        _compile_ours,
    ),
    Contender(
        "veetro-batch compiled, no ledger",
        _EVERYTHING,
        "ledger, order by key",
        1,
        ours("--order-by", "none", of=compiled()),
        delivered,
        _compile_ours,
    ),
    Contender(
        "veetro-batch, no ledger",
        _EVERYTHING,
        "ledger, order by key",
        1,
        ours("--order-by", "none"),
        delivered,
        nothing,
    ),
    Contender(
        "veetro-batch, ledger and order",
        f"{_EVERYTHING}, ledger, order by key, a mismatch for each answer",
        "nothing",
        1,
        ours("--ledger", "{folder}/ledger"),
        delivered,
        nothing,
    ),
)
