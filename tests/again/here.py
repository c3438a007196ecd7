"""The program without a process of its own: as quick as a call, for what needs no signals and no standard input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from batcher.cli import main
from batcher.settings import OPTIONS
from tests.e2e.program import Done
from tests.places import Places


class Here:
    """Runs the program in *directory*, which becomes the present one, with none of its variables.

    Its ledgers are at their *places*.
    """

    def __init__(
        self,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        captured: pytest.CaptureFixture[bytes],
        places: Places,
    ) -> None:
        self.directory = directory
        self.places = places
        self._captured = captured
        monkeypatch.chdir(directory)
        for option in OPTIONS.values():
            monkeypatch.delenv(option.variable, raising=False)

    def run(self, *arguments: str | Path, given: bytes = b"", environ: Mapping[str, str] | None = None) -> Done:
        """What came of it; it never shows its users a traceback."""
        assert not given
        assert not environ
        self._captured.readouterr()
        code = main([self.places.argument(str(argument)) for argument in arguments])
        out, err = self._captured.readouterr()
        assert b"internal error" not in err, err
        return Done(code, self.places.told(out.decode()).encode(), self.places.told(err.decode()))
