"""For tests that run the program's commands in their own process."""

from __future__ import annotations

import io

import pytest

from batcher.settings import OPTIONS


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's own environment holds changes no test; standard input is an empty pipe."""
    for option in OPTIONS.values():
        monkeypatch.delenv(option.variable, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
