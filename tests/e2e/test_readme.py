"""The commands of the README, as they are typed there, by somebody who has the sandbox in the service's place."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from batcher.sandbox import Sandbox
from tests.again.bad_day import Script
from tests.e2e.conftest import StartSandbox
from tests.e2e.program import PATIENCE_S, ROOT, Program, lines, many, record
from tests.objects.s3 import serving
from tests.postgresql.server import PASSWORD, Server

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ADDRESS = "https://acme.worketc.com/xml"
DATABASE = "postgresql://veetro@db.example.com/veetro"
LOGIN = ("me@acme.com", "open-sesame")
RECORDS = 60
DOUBTFUL = (17, 23, 40)
"""Lines that the README lets a person settle."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(*, under: str, language: str = "sh") -> str:
    """The first block of code behind the line that begins with *under*."""
    found = re.search(rf"^{re.escape(under)}.*?^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert found is not None, under
    return found[1]


class Newcomer:
    """Types commands into one shell after another, in one directory.

    Attributes:
        directory: with ``records.ndjson``, and what the commands leave.
    """

    def __init__(self, directory: Path, service: Sandbox) -> None:
        self.directory = directory
        self._service = service
        command = directory / "bin" / "veetro-batch"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batcher "$@"\n')
        command.chmod(0o700)
        given = [record(number, ImportSyncRecordID=0) for number in range(1, RECORDS + 1)]
        (directory / "records.ndjson").write_bytes(lines(*given))
        (directory / "veetro.toml").write_text(f'endpoint = "{service.url}"\n')

    def types(self, text: str, **environ: str) -> list[int]:
        """The exit code of each line of *text*, typed one after the other; with the sandbox's address and password."""
        text = text.replace(ADDRESS, self._service.url).replace("…", LOGIN[1])
        typed = "".join(f"{line}\necho $? >> codes\n" for line in text.splitlines())
        (self.directory / "codes").unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VEETRO_BATCH_")}
        path = f"{self.directory / 'bin'}:{kept['PATH']}"
        done = subprocess.run(
            ["bash", "-c", typed],
            cwd=self.directory,
            env={**kept, "PYTHONPATH": str(ROOT), "PATH": path, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert "Traceback" not in done.stderr
        assert "command not found" not in done.stderr
        codes = [int(code) for code in (self.directory / "codes").read_text().split()]
        assert any(codes) or "error" not in done.stderr, done.stderr
        return codes


@pytest.fixture
def service(start_sandbox: StartSandbox) -> Sandbox:
    """The sandbox; it knows the login that the README types."""
    return start_sandbox(login=LOGIN)


@pytest.fixture
def open_service(start_sandbox: StartSandbox) -> Sandbox:
    """A sandbox that wants no login."""
    return start_sandbox()


def test_use_it(tmp_path: Path, service: Sandbox) -> None:
    """Check, a stream, several packed files: everything is delivered, and the files are there."""
    newcomer = Newcomer(tmp_path, service)
    for name in ("a", "b"):
        (tmp_path / f"records-{name}.ndjson.gz").write_bytes(gzip.compress(many(5)))
    assert newcomer.types(block(under="**Use it.**")) == [0, 0, 0, 0]
    assert service.stats().requests >= RECORDS + 10
    assert {path.name for path in tmp_path.iterdir()} >= {"results.ndjson", "rejects.ndjson", "run.json"}


def test_resume(tmp_path: Path, open_service: Sandbox) -> None:
    """The command with a ledger, twice: the second time it has nothing to do."""
    newcomer = Newcomer(tmp_path, open_service)
    command = block(under="### Resuming")
    assert newcomer.types(command * 2, VEETRO_BATCH_ENDPOINT=open_service.url) == [0, 0]
    assert open_service.stats().requests == RECORDS


def test_ledgers_in_postgresql(tmp_path: Path, open_service: Sandbox, postgresql: Server) -> None:
    """A run whose ledger is in a database, and where it stands."""
    typed = block(under="### Ledgers in PostgreSQL").replace("PGPASSWORD=…", f"PGPASSWORD='{PASSWORD}'")
    assert typed.count(DATABASE) == 2
    newcomer = Newcomer(tmp_path, open_service)
    assert newcomer.types(typed.replace(DATABASE, postgresql.bare_url)) == [0, 0, 0]
    assert open_service.stats().requests == RECORDS


def test_object_storage(tmp_path: Path, open_service: Sandbox) -> None:
    """From a store and back to it."""
    newcomer = Newcomer(tmp_path, open_service)
    with serving() as bucket:
        bucket.put("records.ndjson.zst", zstd.compress((tmp_path / "records.ndjson").read_bytes()))
        assert newcomer.types(block(under="### Object storage"), **bucket.environ()) == [0, 0, 0, 0]
        assert bucket.get("results.ndjson").count(b"\n") == RECORDS
        assert bucket.get("report.html").startswith(b"<!doctype html>")


def test_shards(tmp_path: Path, program: Program, open_service: Sandbox) -> None:
    """Four commands for the ledgers of all shards."""
    newcomer = Newcomer(tmp_path, open_service)
    for index in range(3):
        ledger = ("--ledger", f"shard-{index}.ledger", "--results=none", f"--shard={index}/3")
        assert program.run("records.ndjson", "--endpoint", open_service.url, *ledger).code == 0
    assert newcomer.types(block(under="### Shards")) == [0, 0, 0, 0]
    assert (tmp_path / "results.ndjson").read_bytes().count(b"\n") == RECORDS


def test_what_was_not_delivered(tmp_path: Path, program: Program, open_service: Sandbox) -> None:
    """Settled, submitted again and proved, with one ledger; the last line proves shards."""
    newcomer = Newcomer(tmp_path, open_service)
    faults = ("reset_applied" if line in DOUBTFUL else None for line in range(1, RECORDS + 1))
    open_service._draw = Script(faults)  # type: ignore[assignment] # as Draw
    common = ("records.ndjson", "--endpoint", open_service.url, "--results=none", "--concurrency=1")
    assert program.run(*common, "--ledger=run.ledger").code == 4
    for index in range(2):
        assert program.run(*common, f"--ledger=shard-{index}.ledger", f"--shard={index}/2").code == 0
    assert newcomer.types(block(under="### What was not delivered")) == [0] * 5


def test_from_python(tmp_path: Path, open_service: Sandbox) -> None:
    """The example, around which stands only what a coroutine needs."""
    Newcomer(tmp_path, open_service)
    imports, _, rest = block(under="## From Python", language="python").partition("\n\n")
    code = "\n".join(
        [
            "import asyncio",
            imports,
            "async def main():",
            f"    records = open({str(tmp_path / 'records.ndjson')!r}).read().splitlines()",
            textwrap.indent(rest.replace(ADDRESS, open_service.url), "    "),
            "asyncio.run(main())",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert min(done.stdout.splitlines()).startswith("1 delivered")
    assert len(done.stdout.splitlines()) == RECORDS
