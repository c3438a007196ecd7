"""What a process loads, and what it does not: a start is nearly all loading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batcher.loading import load_aiohttp

ROOT = Path(__file__).parent.parent


def run(code: str) -> str:
    """What a fresh interpreter prints that runs *code*."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_aiohttp_is_loaded_without_certificates() -> None:
    """To read what the system trusts takes longer than the rest of aiohttp, and its contexts are never used."""
    code = (
        "import ssl, batcher.loading; batcher.loading.load_aiohttp()\n"
        "import aiohttp.connector\n"
        "contexts = [value for value in vars(aiohttp.connector).values() if isinstance(value, ssl.SSLContext)]\n"
        "print([context.cert_store_stats()['x509'] for context in contexts])"
    )
    assert run(code) == "[0, 0]\n"


@pytest.mark.parametrize("found", [{}, {"SSL_CERT_FILE": "a.pem", "SSL_CERT_DIR": "certs"}, {"SSL_CERT_DIR": "certs"}])
def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> None:
    """Where the system's certificates are is told to OpenSSL again, once aiohttp is loaded."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    load_aiohttp()
    assert {name: value for name, value in os.environ.items() if name.startswith("SSL_CERT_")} == found
