"""What a process loads, and what it does not: a start is nearly all loading."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from batcher.loading import load_aiohttp

ROOT = Path(__file__).parent.parent
_SEEN_AT_END = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr));"
"""The modules that were imported, on one line: the last one on standard error."""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that has run *code*."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def loaded(*argv: str) -> tuple[int, set[str]]:
    """The exit code of a command line, and the modules that its process has imported."""
    done = run(f"{_SEEN_AT_END} sys.argv[1:] = {argv!r}; import batcher.__main__; sys.exit(batcher.__main__.main())")
    return done.returncode, set(done.stderr.splitlines()[-1].split())


def among(modules: Iterable[str], names: Iterable[str]) -> set[str]:
    """Those of *names* that are among *modules*, themselves or by what is in them."""
    return {name for name in names if any(f"{module}.".startswith(f"{name}.") for module in modules)}


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["--show-config", "--endpoint", "https://acme/xml"]])
def test_help_does_not_wait_for_what_only_a_run_needs(argv: list[str]) -> None:
    """Neither help nor the judging of settings imports the HTTP client, the XML parser or the views."""
    code, modules = loaded(*argv)
    heavy = {"aiohttp", "asyncio", "lxml", "orjson", "prometheus_client", "rich", "sqlite3", "tomllib", "uvloop"}
    light = {"difflib", "html"}
    assert (code, among(modules, heavy | light)) == (0, set())
    ours = {"core.template", "flow.transport", "observe", "run", "sandbox"}
    assert among(modules, {f"batcher.{name}" for name in ours}) == set()


def test_a_plain_run_loads_only_what_it_uses(tmp_path: Path) -> None:
    """One record, files and a ledger: no server, view, report, object store or database, nor what only errors need."""
    source = tmp_path / "records.ndjson"
    source.write_text("{}\n")  # invalid, so that nothing needs to be served
    files = ["--ledger", str(tmp_path / "ledger"), "--results", "none", "--progress", "off"]
    code, modules = loaded(str(source), "--endpoint", "http://127.0.0.1:9/xml", *files)
    used = {"aiohttp", "batcher.run", "lxml", "sqlite3", "uvloop"}
    assert (code, among(modules, used)) == (3, used)
    others = {"aiohttp.web", "obstore", "prometheus_client", "psycopg", "rich", "tomllib"}
    rest = {"html", "importlib.resources", "zipfile"}
    assert among(modules, others | rest) == set()
    ours = {"demo", "dry", "flow.ledger.postgresql", "observe.exporter", "observe.live", "observe.metrics"}
    ours |= {"observe.page", "observe.push", "report", "sandbox", "status"}
    assert among(modules, {f"batcher.{name}" for name in ours}) == set()


def test_aiohttp_is_loaded_without_certificates() -> None:
    """To read what the system trusts takes longer than the rest of aiohttp, and its contexts are never used."""
    done = run(
        "import ssl, batcher.loading; batcher.loading.load_aiohttp()\n"
        "import aiohttp.connector\n"
        "contexts = [value for value in vars(aiohttp.connector).values() if isinstance(value, ssl.SSLContext)]\n"
        "print([context.cert_store_stats()['x509'] for context in contexts])"
    )
    assert (done.stdout, done.stderr) == ("[0, 0]\n", "")


@pytest.mark.parametrize("found", [{}, {"SSL_CERT_FILE": "a.pem", "SSL_CERT_DIR": "certs"}, {"SSL_CERT_DIR": "certs"}])
def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> None:
    """Where the system's certificates are is told to OpenSSL again, once aiohttp is loaded."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    load_aiohttp()
    assert {name: value for name, value in os.environ.items() if name.startswith("SSL_CERT_")} == found
