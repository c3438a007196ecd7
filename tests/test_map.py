"""The map of the code is right: it names every room, in the order in which imports point down."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "batcher"
_ROW = re.compile(r"^\| ((?:`[\w/]+` ?)+)\|", re.MULTILINE)


def rows() -> list[list[str]]:
    """The rooms of each row of the map's table, those within others left out."""
    found = _ROW.findall((PACKAGE / "README.md").read_text())
    return [[name.strip("`/") for name in row.split() if "/" not in name.strip("`/")] for row in found]


def layers() -> dict[str, int]:
    """The rank of each room by what import-linter checks, 0 on top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return {name: rank for rank, layer in enumerate(found) for name in layer.split(" | ")}


def test_the_map_names_every_room() -> None:
    """Each once; ``__init__`` and ``__main__`` are no rooms."""
    rooms = {path.stem for path in PACKAGE.glob("[!_]*.py")} | {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert sorted(name for row in rows() for name in row) == sorted(rooms)


def test_imports_point_down_the_map() -> None:
    """No row holds what is checked to be above the row before it."""
    ranks = [[layers()[name] for name in row] for row in rows() if row]
    assert all(max(above) <= min(below) for above, below in pairwise(ranks))
