"""One writer a ledger, among real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from batcher.errors import LedgerInUse, OutputFailed
from batcher.flow.ledger.lock import Lock, standing_still
from tests.flow.ledgers import holder, powerless, read_only_directory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def until_held(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"


def test_a_second_run_is_refused_at_once_or_after_its_wait(path: Path) -> None:
    """It says which ledger, and what would have it wait; one that waited says how long it did."""
    with holder(path) as process:
        until_held(process)
        with pytest.raises(
            LedgerInUse, match=f"another run is writing the ledger {path}; --ledger-wait S waits"
        ) as busy:
            Lock(str(path), 0)
        assert busy.value.exit_code == 8
        with pytest.raises(LedgerInUse, match=f"another run is writing the ledger {path} after 0.06 s; "):
            Lock(str(path), 0.06)
        process.communicate("\n")
    Lock(str(path), 0).close()


async def test_a_run_that_waits_goes_on_when_the_other_ends(path: Path) -> None:
    """Well before its time is up."""
    with holder(path) as process:
        until_held(process)
        waiting = asyncio.create_task(asyncio.to_thread(Lock, str(path), 60))
        await asyncio.to_thread(process.communicate, "\n")
        (await waiting).close()


def test_a_dead_writer_does_not_stand_in_the_way(path: Path) -> None:
    """SIGKILL leaves no time to let go of anything: the kernel does."""
    with holder(path) as process:
        until_held(process)
        process.send_signal(signal.SIGKILL)
    assert Path(f"{path}.lock").exists()
    Lock(str(path), 0).close()


def test_every_name_of_a_ledger_has_the_same_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link, a relative path: it is the file that is written by one."""
    link = path.with_name("link")
    link.symlink_to(path)
    monkeypatch.chdir(path.parent)
    with holder(path) as process:
        until_held(process)
        for name in ("ledger", "./link", str(link)):
            with pytest.raises(LedgerInUse):
                Lock(name, 0)
        process.communicate("\n")


def test_a_lock_is_let_go_of_by_who_did_not_take_it(path: Path) -> None:
    """Closing again, from wherever and once more, is no error; within a process, too, there is one at a time."""
    with Lock(str(path), 0) as lock:
        with pytest.raises(LedgerInUse):
            Lock(str(path), 0)
        asyncio.run(asyncio.to_thread(lock.close))
        Lock(str(path), 0).close()


def test_the_lock_file_is_its_owner_s_alone(path: Path) -> None:
    """Whatever the umask."""
    before = os.umask(0)
    try:
        with Lock(str(path), 0):
            assert stat.S_IMODE(Path(f"{path}.lock").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_where_no_lock_can_be_made() -> None:
    """A directory that is missing is not made; one that is read-only is named with its reason."""
    with read_only_directory() as shared:
        with pytest.raises(OutputFailed, match=f"no/ledger cannot be made: there is no directory {shared}/no"):
            Lock(str(shared / "no" / "ledger"), 0)
        assert not (shared / "no").exists()
        with powerless(), pytest.raises(OutputFailed, match=f"{shared}/ledger cannot be locked: Permission denied"):
            Lock(str(shared / "ledger"), 0)


def test_what_is_no_place_for_a_lock_is_not_called_in_use() -> None:
    """A directory of the kernel's takes no files: the run ends with 9, and not as if another one were writing."""
    with pytest.raises(OutputFailed, match="the ledger /proc/x cannot be locked: No such file or directory") as failed:
        Lock("/proc/x", 0)
    assert failed.value.exit_code == 9


def test_who_only_looks_keeps_no_run_from_its_ledger(path: Path) -> None:
    """A glance at whether a run writes takes a moment, for which one that begins waits; none begins beneath a look."""
    with standing_still(str(path)) as still:
        assert still
    with Lock(str(path), 0), standing_still(str(path)) as still:
        assert not still
    looking = contextlib.ExitStack()
    assert looking.enter_context(standing_still(str(path)))
    glance = threading.Timer(0.1, looking.close)
    glance.start()
    Lock(str(path), 0).close()
    glance.join()
    with standing_still(str(path)) as still, pytest.raises(LedgerInUse):
        Lock(str(path), 0)
    assert still
