"""One writer a ledger, among real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from batcher.errors import LedgerInUse, OutputFailed
from batcher.flow.ledger.access import hold, is_written, standing_still
from batcher.flow.ledger.address import Address, ledger_name
from batcher.flow.ledger.sqlite.lock import Lock
from tests.flow.ledgers import holder, powerless, read_only_directory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


LEASE_S = Address.read("postgresql://host/database?ledger=x").lease


def until_held(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"


def test_a_second_run_is_refused_at_once_or_after_its_wait(ledger: str) -> None:
    """It says which ledger, and what would have it wait; one that waited says how long it did."""
    with holder(ledger) as process:
        until_held(process)
        said = f"another run is writing the ledger {re.escape(ledger_name(ledger))}"
        with pytest.raises(LedgerInUse, match=f"{said}; --ledger-wait S waits") as busy:
            hold(ledger)
        assert busy.value.exit_code == 8
        with pytest.raises(LedgerInUse, match=f"{said} after 0.06 s; "):
            hold(ledger, 0.06)
        process.communicate("\n")
    hold(ledger).close()


async def test_a_run_that_waits_goes_on_when_the_other_ends(ledger: str) -> None:
    """Well before its time is up."""
    with holder(ledger) as process:
        until_held(process)
        waiting = asyncio.create_task(asyncio.to_thread(hold, ledger, 60))
        await asyncio.to_thread(process.communicate, "\n")
        (await waiting).close()


def test_a_dead_writer_does_not_stand_in_the_way(ledger: str) -> None:
    """SIGKILL leaves no time to let go of anything: the kernel does, or the database, whatever is left of a lease."""
    with holder(ledger) as process:
        until_held(process)
        process.send_signal(signal.SIGKILL)
    hold(ledger, LEASE_S / 2).close()


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


def test_a_lock_is_let_go_of_by_who_did_not_take_it(ledger: str) -> None:
    """Closing again, from wherever and once more, is no error; within a process, too, there is one at a time."""
    with hold(ledger, create=True) as lock:
        with pytest.raises(LedgerInUse):
            hold(ledger)
        asyncio.run(asyncio.to_thread(lock.close))
        hold(ledger).close()


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


def test_who_only_looks_keeps_no_run_from_its_ledger(ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A glance at whether a run writes takes a moment, for which one that begins waits; none begins beneath a look."""
    hold(ledger, create=True).close()
    with standing_still(ledger) as still:
        assert still
    with hold(ledger), standing_still(ledger) as still:
        assert not still
        assert is_written(ledger)
    looking = contextlib.ExitStack()
    assert looking.enter_context(standing_still(ledger))
    glance = threading.Timer(0.1, looking.close)
    glance.start()
    with monkeypatch.context() as patch:  # on a busy machine a moment may be long
        for room in ("sqlite.lock", "postgresql.lease"):
            patch.setattr(f"batcher.flow.ledger.{room}._GLANCE", 60.0)
        hold(ledger).close()
    glance.join()
    with standing_still(ledger) as still, pytest.raises(LedgerInUse):
        hold(ledger)
    assert still
    assert not is_written(ledger)
