"""Send millions of NDJSON records, once each, through a SOAP service that takes them one at a time.

For programs::

    from batcher import Settings, submit

    async for result in submit(records, Settings(endpoint="https://acme.worketc.com/xml")):
        print(result.line, result.outcome, result.answer)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batcher.core.result import Result
    from batcher.errors import RunAborted, SettingsError
    from batcher.run import submit
    from batcher.settings import Settings

__all__ = ["Result", "RunAborted", "Settings", "SettingsError", "__version__", "submit"]
__version__ = "0.1.0"

_HOMES = {
    "Result": "batcher.core.result",
    "RunAborted": "batcher.errors",
    "Settings": "batcher.settings",
    "SettingsError": "batcher.errors",
    "submit": "batcher.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line's help does not wait for what only a run needs."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    return getattr(import_module(_HOMES[name]), name)
