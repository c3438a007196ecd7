"""The page of promises does not rot: what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "batcher" / "promises.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_NOT_PROMISED = "\n## Not promised\n"


def names_in(path: Path) -> set[str]:
    """The names of the test functions in *path*."""
    if not path.is_file():
        return set()
    functions = (
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_test_that_the_page_names_exists() -> None:
    """A promise whose test was renamed or removed is no promise."""
    named = _NAMED.findall(PAGE.read_text())
    known = {file: names_in(ROOT / file) for file, _ in named}
    assert len(named) > 50
    assert [f"{file}::{test}" for file, test in named if test not in known[file]] == []


def test_every_promise_names_a_test() -> None:
    """None is made without one; what is not promised names none."""
    promised, not_promised = PAGE.read_text().split(_NOT_PROMISED)
    promises = re.split(r"^- ", re.sub(r"^#.*", "", promised, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert [promise for promise in promises if not _NAMED.search(promise)] == []
    assert not _NAMED.search(not_promised)


def test_the_page_can_be_found() -> None:
    """From the README and from the map."""
    assert "(batcher/promises.md)" in (ROOT / "README.md").read_text()
    assert "(promises.md)" in (ROOT / "batcher" / "README.md").read_text()
