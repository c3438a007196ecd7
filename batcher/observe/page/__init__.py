"""The page that shows a run: one file of HTML, with its style and its scripts inside, and nothing from elsewhere.

Served live it asks for ``view.json`` now and then; as a report it carries what it shows. The charts are drawn by
uPlot 1.6.32 (https://github.com/leeoniya/uPlot), which is shipped as it was published, with its licence.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources

import orjson

_STYLES = ("uPlot.min.css", "page.css")
_SCRIPTS = ("uPlot.iife.min.js", "words.js", "charts.js", "panels.js", "page.js")


def live_page() -> tuple[bytes, str]:
    """The page that asks for what it shows, and the Content-Security-Policy that it is to be served with."""
    return _fill("", b"null"), f"{_policy()}; connect-src 'self'; frame-ancestors 'none'"


def report_page(view: Mapping[str, object]) -> bytes:
    """The page that carries *view*, to be read from disk; it may ask for nothing."""
    # A text from outside must not end the element that holds it.
    held = orjson.dumps(view).replace(b"<", b"\\u003c")
    return _fill(f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">', held)


def _fill(policy: str, view: bytes) -> bytes:
    page = _part("page.html").replace("<!-- policy -->", policy)
    page = page.replace("/* style */", _style()).replace("/* script */", _script())
    before, _, after = page.partition("<!-- view -->")
    return before.encode() + view + after.encode()


@cache
def _part(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")


@cache
def _style() -> str:
    return "\n".join(map(_part, _STYLES))


@cache
def _script() -> str:
    return "\n".join(map(_part, _SCRIPTS))


def _policy() -> str:
    """Nothing but what stands in the page itself: its style and script are known by their hashes."""
    return (
        f"default-src 'none'; script-src {_hash(_script())}; style-src {_hash(_style())}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
