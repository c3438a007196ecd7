"""Who is trusted, and who we say we are."""

from __future__ import annotations

import ssl

from batcher.errors import SettingsError
from batcher.flow.transport.seam import Route


def tls_context(route: Route, *, needed: bool) -> ssl.SSLContext | bool:
    """A context that always checks certificate and host name.

    Where none is *needed*, and nothing is to be read for one, it is True, which stands for aiohttp's own. That one is
    never used: it may know no certificates (``batcher.loading``).

    Raises:
        SettingsError: a file of certificates or keys cannot be read or used.
    """
    if not needed and route.ca_file is None and route.client_cert is None:
        return True
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if route.ca_file is not None:
        try:
            context.load_verify_locations(route.ca_file)
        except OSError as error:
            raise SettingsError("--ca-file", f"{route.ca_file}: {_why(error)}", "a file of PEM certificates") from error
    if route.client_cert is not None:
        try:
            # An empty password, else OpenSSL would ask for one on the terminal.
            context.load_cert_chain(route.client_cert, route.client_key, password="")
        except OSError as error:
            raise SettingsError(
                "--client-cert",
                f"{route.client_cert}: {_why(error)}",
                "PEM files of a certificate and its key, the key not encrypted",
            ) from error
    return context


def _why(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or "cannot be used"
