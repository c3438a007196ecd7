# ruff: noqa: PLC0415 - the point of this module is when that import takes place
"""aiohttp, without the certificates that it would load."""

from __future__ import annotations

import os

_NAMED_BY = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The environment variables that tell OpenSSL where its certificates are."""


def load_aiohttp() -> None:
    """Import aiohttp, in a process that is the program's alone.

    As it is imported, aiohttp makes contexts for TLS, and for each reads all certificates that the system trusts: with
    Debian's this takes longer than all the rest of aiohttp. A run has no use for them, since
    ``batcher.flow.transport.tls`` makes its own where there is TLS; so meanwhile OpenSSL is shown no certificates. A
    context of aiohttp's that somebody used all the same would trust no server.
    """
    found = {name: os.environ.get(name) for name in _NAMED_BY}
    os.environ.update(dict.fromkeys(_NAMED_BY, os.devnull))
    try:
        import aiohttp  # noqa: F401
    finally:
        for name, value in found.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
