"""What goes wrong in a run, grouped by what it says, each with a line to look at."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from batcher.core.fingerprint import fingerprint, one_line
from batcher.core.result import Result
from batcher.core.verdict import Problem

GROUPS_LIMIT = 200
"""Groups that are kept; what comes after is counted as ``other`` of its kind, so that memory stays bounded."""

EXAMPLE_LIMIT = 300
"""Characters of an example's text."""

RECORD_LIMIT = 2000
"""Characters of a record that an example shows."""

# Texts repeat, and one costs 25 µs: a run in which every answer is a fault stays quick.
_name = lru_cache(maxsize=512)(fingerprint)


class Example(NamedTuple):
    """One record that met a problem: its line (in *input*, where there are several) and what was said.

    *record* is the line itself, or its beginning; empty where no record has ended so yet.
    """

    line: int
    input: str | None
    text: str
    record: str = ""

    @property
    def where(self) -> str:
        """The line for people: ``line 17``, ``line 17 of b.ndjson``."""
        return f"line {self.line:,}" + (f" of {self.input}" if self.input else "")

    @property
    def gist(self) -> str:
        """The cause alone, where the text is a chain of them: ASP.NET puts the innermost last, after ``--->``."""
        return self.text.rpartition("---> ")[2]


class Group:
    """Problems that say the same.

    Attributes:
        kind: the problem's kind, from the closed sets of the outcomes.
        fingerprint: the text that they share, without values but the HTTP status; with the field's name before it where
            there is one.
        attempts: attempts that ended so; 0 for what is found before sending.
        records: records that ended so.
        example: the first record that ended so, else the first that met it.
    """

    __slots__ = ("attempts", "example", "fingerprint", "kind", "records")

    def __init__(self, kind: str, fingerprint: str, example: Example) -> None:
        self.kind = kind
        self.fingerprint = fingerprint
        self.attempts = 0
        self.records = 0
        self.example = example

    @property
    def count(self) -> int:
        """How often it was met: by attempts or, where nothing was sent, by records."""
        return max(self.attempts, self.records)


class Problems:
    """The groups of a run, at most ``GROUPS_LIMIT`` and an ``other`` for each kind."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], Group] = {}

    def attempt(self, line: int, source: str | None, problem: Problem) -> None:
        """An attempt for the record of *line*, of the input *source* where there are several, ended in *problem*."""
        self._group(line, source, problem).attempts += 1

    def record(self, result: Result, problem: Problem) -> None:
        """A record ended in *problem*, for good."""
        group = self._group(result.line, result.input, problem)
        if not group.records:
            record = one_line(result.raw[: 4 * RECORD_LIMIT].decode(errors="replace"), RECORD_LIMIT)
            group.example = _example(result.line, result.input, problem)._replace(record=record)
        group.records += 1

    def top(self, count: int) -> list[Group]:
        """The *count* groups that were met most often, those first that records ended in."""
        return sorted(self._groups.values(), key=lambda group: (not group.records, -group.count))[:count]

    def _group(self, line: int, source: str | None, problem: Problem) -> Group:
        name = _shared(problem)
        group = self._groups.get((problem.kind, name))
        if group is None:
            if len(self._groups) >= GROUPS_LIMIT:
                name = "other"
            example = _example(line, source, problem)
            group = self._groups.setdefault((problem.kind, name), Group(problem.kind, name, example))
        return group


def _shared(problem: Problem) -> str:
    """What *problem* says, without its values; the status is none of them: a 400 and a 503 mean different things."""
    name, status = _name(_text(problem)), f"HTTP {problem.http_status} "
    return status + name.removeprefix("HTTP # ") if problem.message.startswith(status) else name


def _text(problem: Problem) -> str:
    return f"{problem.field}: {problem.message}" if problem.field else problem.message


def _example(line: int, source: str | None, problem: Problem) -> Example:
    return Example(line, source, one_line(_text(problem), EXAMPLE_LIMIT))
