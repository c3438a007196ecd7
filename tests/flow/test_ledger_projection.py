"""Results and rejects files are what the ledger's lines amount to, whatever has happened to them meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from batcher.errors import OutputFailed
from batcher.flow.ledger import projection
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.projection import Projection
from batcher.flow.ledger.rows import Kind
from batcher.flow.ledger.store import Store
from tests.flow.ledgers import filled, opened

junk = st.one_of(st.binary(max_size=300), st.integers(1, 300).map(bytes), st.just(b'{"line":1}\n' * 30))
"""What may stand where our bytes should: anything, zeros that a crash of the machine left, other lines."""


class Runs(RuleBasedStateMachine):
    """Run after run on one ledger; each continues the files of the last one, if they are still what they were."""

    name_ledger: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.ledger = type(self).name_ledger()
        self.lines: dict[Kind, bytes] = {"results": b"", "rejects": b""}
        self.paths: dict[Kind, Path] = {"results": self.directory / "results", "rejects": self.directory / "rejects"}
        self.lag: Commit | None = None
        self.store: Store | None = None

    @initialize()
    def start(self) -> None:
        self.hold = hold(self.ledger, create=True)
        self.store = self.hold.open()
        self.projection = Projection(self.store, *map(str, self.paths.values()))

    def commit(self, results: list[bytes], rejects: list[bytes]) -> None:
        """As the writer does: what the files held before is accounted for with the next lines."""
        assert self.store is not None
        self.store.commit(Commit(results=results, rejects=rejects, accounted=self.projection.accounted()))
        self.lines["results"] += b"".join(results)
        self.lines["rejects"] += b"".join(rejects)

    @rule(results=st.lists(st.binary(max_size=80).map(lambda text: text + b"\n")), rejects=st.lists(st.just(b"no\n")))
    def write(self, results: list[bytes], rejects: list[bytes]) -> None:
        self.commit(results, rejects)
        self.projection.write(results, rejects)

    @rule()
    def end(self) -> None:
        """A run ends in order, and the next one begins."""
        assert self.store is not None
        self.projection.sync()
        self.store.commit(Commit(accounted=self.projection.accounted()))
        self.resume()

    @rule(
        results=st.lists(st.binary(max_size=80), max_size=3),
        kept=st.floats(0, 1),
        behind=junk,
        kind=st.sampled_from(["results", "rejects"]),
    )
    def crash(self, results: list[bytes], kept: float, behind: bytes, kind: Kind) -> None:
        """After a commit and before its lines are written whole; what was not brought to the disk may be anything."""
        certain = [*self.projection.accounted().values()][list(self.paths).index(kind)]
        self.commit(results, results)
        self.projection.write(results, results)
        with self.paths[kind].open("r+b") as file:
            file.truncate(certain + int(kept * (len(file.read()) - certain)))
            file.seek(0, os.SEEK_END)
            file.write(behind)
        self.resume()

    @rule(kind=st.sampled_from(["results", "rejects"]), kept=st.floats(0, 1))
    def cut(self, kind: Kind, kept: float) -> None:
        """Somebody cuts a file short, or to nothing."""
        with self.paths[kind].open("r+b") as file:
            file.truncate(int(kept * len(file.read())))
        self.resume()

    @rule(kind=st.sampled_from(["results", "rejects"]), content=st.binary(max_size=300))
    def replace(self, kind: Kind, content: bytes) -> None:
        """Somebody writes something else there."""
        self.paths[kind].write_bytes(content)
        self.resume()

    @rule(kind=st.sampled_from(["results", "rejects"]))
    def remove(self, kind: Kind) -> None:
        self.paths[kind].unlink()
        self.resume()

    @rule(kind=st.sampled_from(["results", "rejects"]), name=st.sampled_from(["a", "b", os.fsdecode(b"\xff")]))
    def move(self, kind: Kind, name: str) -> None:
        """The next run writes elsewhere: to a new file, or to one that the ledger knows from earlier."""
        self.paths[kind] = self.directory / f"{kind}-{name}"
        self.resume()

    def resume(self) -> None:
        self.close()
        self.start()

    def close(self) -> None:
        if self.store is not None:
            self.projection.close()
            self.store.close()
            self.hold.close()
            self.store = None

    @invariant()
    def files_are_the_ledger_s_lines(self) -> None:
        if self.store is not None:
            for kind, path in self.paths.items():
                assert path.read_bytes() == self.lines[kind]

    def teardown(self) -> None:
        self.close()
        shutil.rmtree(self.directory)


def test_a_file_is_its_ledger_s_lines_each_once(
    kind: str, new_ledger: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over any sequence of runs, crashes and meddling: the files are the concatenation of what was committed."""
    monkeypatch.setattr(projection, "_SYNC_BYTES", 100)
    monkeypatch.setattr(projection, "_COMPARED", 50)
    chosen = settings(max_examples=40 if kind == "sqlite" else 10, stateful_step_count=20, deadline=None)
    there = type("RunsThere", (Runs,), {"name_ledger": staticmethod(new_ledger)})
    run_state_machine_as_test(there, settings=chosen)


def test_a_file_is_continued_where_it_was_left(tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is accounted for is not written again: the file is known by its last bytes, and cut behind them."""
    monkeypatch.setattr(projection, "_COMPARED", 100)
    results = tmp_path / "results"
    filled(ledger, 3, 1000)
    with opened(ledger, write=True) as store:
        lines = b"".join(store.lines("results"))
        with closing(Projection(store, str(results), None)) as projected:
            assert projected.accounted() == {str(results): 0}, "it may be in memory only"
            projected.sync()
            assert projected.accounted() == {str(results): 3000}
            store.commit(Commit(accounted=projected.accounted(), results=[b"more\n"]))
        results.write_bytes(bytes(2900) + lines[2900:] + b"torn")
        with closing(Projection(store, str(results), None)) as projected:
            assert projected.accounted() == {str(results): 3000}
    assert results.read_bytes() == bytes(2900) + lines[2900:] + b"more\n"


def test_only_what_the_disk_has_taken_is_accounted_for(
    tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails then is told, and nothing of it counts."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    results = tmp_path / "results"
    filled(ledger, 3, 1000)
    with opened(ledger) as store, closing(Projection(store, str(results), None)) as projected:
        projected.sync()
        projected.write([b"more\n"], [])
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OutputFailed, match=f"{results} cannot be written: Input/output error"):
            projected.sync()
        assert projected.accounted() == {str(results): 3000}


def test_standard_output_gets_this_run_s_lines_alone(
    tmp_path: Path, ledger: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Who reads a pipe has had the earlier ones; nothing of it is accounted for."""
    filled(ledger, 3, 1000)
    with opened(ledger) as store, closing(Projection(store, "-", None)) as projected:
        projected.write([b"one\n", b"two\n"], [b"no\n"])
        projected.sync()
        assert projected.accounted() == {}
    assert capfdbinary.readouterr().out == b"one\ntwo\n"


def test_a_named_pipe_is_a_pipe(tmp_path: Path, ledger: str) -> None:
    """It cannot be cut and continued; a device neither."""
    filled(ledger, 3, 1000)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with opened(ledger) as store, closing(Projection(store, str(pipe), "/dev/null")) as projected:
        projected.write([b"one\n"], [b"no\n"])
        assert projected.accounted() == {}
    reader.join()
    assert read == [b"one\n"]


def test_one_file_under_two_names_is_one_file(tmp_path: Path, ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link or a relative path leads to what the ledger knows already."""
    results = tmp_path / "results"
    filled(ledger, 3, 1000)
    (tmp_path / "link").symlink_to(results)
    monkeypatch.chdir(tmp_path)
    with opened(ledger, write=True) as store:
        for name in (str(results), "link", "./results"):
            with closing(Projection(store, name, None)) as projected:
                projected.sync()
                store.commit(Commit(accounted=projected.accounted()))
                assert projected.accounted() == {str(results): 3000}
        assert store.accounted("link") is None


def test_a_new_file_is_filled_piece_by_piece(tmp_path: Path, ledger: str) -> None:
    """Memory does not depend on how much the ledger holds, and what was filled is brought to the disk on the way."""
    results = tmp_path / "results"
    filled(ledger, 40, 500_000)
    with opened(ledger) as store:
        tracemalloc.start()
        try:
            with closing(Projection(store, str(results), None)) as projected:
                assert projected.accounted()[str(results)] > 16_000_000
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()
    assert results.stat().st_size == 40 * 500_000


def test_lines_are_written_piece_by_piece(tmp_path: Path, ledger: str) -> None:
    """Many lines and long ones arrive as they are, and no buffer holds all of them."""
    lines = [b"%d\n" % number * (1 + number % 7 * 3000) for number in range(500)] + [b"x" * 300_000 + b"\n"]
    results = tmp_path / "results"
    with opened(ledger, create=True) as store, closing(Projection(store, str(results), None)) as projected:
        tracemalloc.start()
        try:
            projected.write(lines, [])
            assert tracemalloc.get_traced_memory()[1] < 500_000 < sum(map(len, lines)) / 20
        finally:
            tracemalloc.stop()
    assert results.read_bytes() == b"".join(lines)


def test_files_are_their_owner_s_alone(tmp_path: Path, ledger: str) -> None:
    """New ones, and those that were not."""
    filled(ledger, 3, 1000)
    results, rejects = tmp_path / "results", tmp_path / "rejects"
    rejects.touch(0o666)
    rejects.chmod(0o666)
    with opened(ledger) as store:
        Projection(store, str(results), str(rejects)).close()
    assert {stat.S_IMODE(file.stat().st_mode) for file in (results, rejects)} == {0o600}


def test_what_cannot_be_written_is_told(tmp_path: Path, ledger: str) -> None:
    """By name, and the other file is let go of."""
    results = tmp_path / "results"
    filled(ledger, 3, 1000)
    with opened(ledger) as store:
        with pytest.raises(OutputFailed, match=f"{tmp_path}/no/rejects cannot be written: No such file or directory"):
            Projection(store, str(results), str(tmp_path / "no" / "rejects"))
        with pytest.raises(OutputFailed, match=f"{tmp_path} cannot be written: Is a directory"):
            Projection(store, str(results), str(tmp_path))
        projected = Projection(store, str(results), "/dev/full")
        with pytest.raises(OutputFailed, match="/dev/full cannot be written: No space left on device"):
            projected.write([b"yes\n"], [b"no\n"])
        projected.close()
    assert not [name for name in open_files() if name == "/dev/full" or name.startswith(str(tmp_path))]


def open_files() -> Iterator[str]:
    """The names of all that this process has open."""
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        with contextlib.suppress(OSError):  # other threads open and close theirs
            yield os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - likewise
