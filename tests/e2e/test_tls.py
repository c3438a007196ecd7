"""Endpoints with TLS: certificates are checked, always."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from tests.e2e.conftest import StartSandbox
from tests.e2e.program import Program, many


@pytest.fixture
def authority(program: Program) -> tuple[trustme.CA, Path]:
    """A certificate authority that nobody knows, and its certificate's file."""
    authority = trustme.CA()
    path = program.directory / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return authority, path


def context(authority: trustme.CA, host: str) -> ssl.SSLContext:
    """What a server of that name speaks TLS with."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(made)
    return made


def test_certificates(program: Program, start_sandbox: StartSandbox, authority: tuple[trustme.CA, Path]) -> None:
    """With its authority the service is trusted; without it, or under another name, nothing is ever sent: 7."""
    known = start_sandbox(tls=context(authority[0], "127.0.0.1"))
    other = start_sandbox(tls=context(authority[0], "crm.example.org"))
    options = [
        ("--endpoint", known.url, "--ca-file", authority[1]),
        ("--endpoint", known.url, "--max-outage=0.3"),
        ("--endpoint", other.url, "--max-outage=0.3", "--ca-file", authority[1]),
    ]
    done = program.run_each((each, many(5)) for each in options)
    assert [(run.code, run.outcomes) for run in done] == [(0, {"delivered": 5}), *[(7, {"unsent": 5})] * 2]
    assert {entry["attempts"] for entry in done[0].results} == {1}
    assert (known.stats().requests, other.stats().requests) == (5, 0)
    for run in done[1:]:
        assert "certificate" in run.err
        assert {entry["error"]["kind"] for entry in run.results} == {"outage"}


def test_what_the_system_trusts(
    program: Program, start_sandbox: StartSandbox, authority: tuple[trustme.CA, Path]
) -> None:
    """Without --ca-file an authority that the system trusts is trusted, though none was loaded with aiohttp."""
    sandbox = start_sandbox(tls=context(authority[0], "127.0.0.1"))
    trusted = {"SSL_CERT_FILE": str(authority[1])}
    done = program.run("--endpoint", sandbox.url, given=many(3), environ=trusted)
    assert (done.code, done.outcomes, sandbox.stats().requests) == (0, {"delivered": 3}, 3)


def test_client_certificate(program: Program, start_sandbox: StartSandbox, authority: tuple[trustme.CA, Path]) -> None:
    """A service that asks for a client certificate gets the one that is given."""
    tls = context(authority[0], "127.0.0.1")
    tls.verify_mode = ssl.CERT_REQUIRED
    authority[0].configure_trust(tls)
    mine = authority[0].issue_cert("client.example.org")
    pem = program.directory / "client.pem"
    mine.private_key_and_cert_chain_pem.write_to_path(str(pem))
    sandbox = start_sandbox(tls=tls)
    done = program.run("--endpoint", sandbox.url, "--ca-file", authority[1], "--client-cert", pem, given=many(3))
    assert (done.code, done.outcomes) == (0, {"delivered": 3})
