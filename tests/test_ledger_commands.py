"""results, status and verify, on ledgers that real runs against the sandbox have left."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import psycopg
import pytest

from batcher import cli
from batcher.core.verdict import Outcome
from batcher.errors import LedgerInUse
from batcher.flow.ledger.access import hold
from batcher.flow.ledger.address import is_database
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.runs import Reading
from batcher.sandbox import SandboxSettings
from tests.e2e.program import Program, many, read_lines
from tests.e2e.servers import Background
from tests.flow.ledgers import opened
from tests.in_process import alone
from tests.places import Files, Places, Rows, Tampering, tampering
from tests.postgresql.server import PASSWORD, Server

FIRST = many(600) + b'\n \n{"unknown": 1}\n'
SECOND = many(40, SourceID="S")
RECORDS = 641


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)


_PLACES: list[Places] = [Files()]
"""The last one holds for the test."""


@pytest.fixture(scope="module")
def server(kind: str, request: pytest.FixtureRequest) -> Server | None:
    """Where ledgers are that are no files."""
    return None if kind == "sqlite" else request.getfixturevalue("postgresql")


@contextmanager
def at(places: Places, folder: Path) -> Iterator[None]:
    """Within the block commands find their ledgers at *places*, and their files in *folder*."""
    _PLACES.append(places)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGPASSWORD", PASSWORD)
            patch.chdir(folder)
            yield
    finally:
        _PLACES.pop()


def main(arguments: list[str]) -> int:
    """The command, with its ledgers at their places."""
    return cli.main([_PLACES[-1].argument(text) for text in arguments])


def place() -> str:
    """Of the ledger."""
    return _PLACES[-1].of("kept")


@pytest.fixture
def capfd(capfd: pytest.CaptureFixture[str]) -> SimpleNamespace:
    """What was printed, as of files."""

    def told() -> tuple[str, str]:
        out, err = capfd.readouterr()
        return Printed(*(_PLACES[-1].told(text) for text in (out, err)))

    return SimpleNamespace(readouterr=told)


class Printed(NamedTuple):
    out: str
    err: str


@pytest.fixture(scope="module")
def finished(server: Server | None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Places]:
    """A directory with two inputs and the results of a run that has ended, and where its ledger is."""
    folder = tmp_path_factory.mktemp("finished")
    places = Files() if server is None else Rows(server, ("kept",))
    (folder / "first").write_bytes(FIRST)
    (folder / "second").write_bytes(gzip.compress(SECOND))
    faults = SandboxSettings(faults={"client": 0.05}, seed=3)
    inputs = [str(folder / name) for name in ("first", "second")]
    options = ["--ledger=kept", "--results", str(folder / "results"), "--progress=off"]
    with at(places, folder), Background() as background, background.sandbox(faults) as sandbox:
        assert main([*inputs, "--endpoint", sandbox.url, *options, "--order-by=SourceID,VeetroID"]) == 3
    return folder, places


@pytest.fixture
def folder(finished: tuple[Path, Places], server: Server | None, tmp_path: Path) -> Iterator[Path]:
    """A copy of that directory, and the present one: the inputs have other names than in the run."""
    source, places = finished
    copy = shutil.copytree(source, tmp_path / "copy")
    if server is not None:
        original, places = places, Rows(server, ("kept",))
        server.copy(original.of("kept"), places.of("kept"))
    with at(places, copy):
        yield copy


@pytest.fixture
def db(folder: Path) -> Iterator[Tampering]:
    """The ledger, to do to it what no run does."""
    with tampering(place()) as rows:
        yield rows


def outcomes(folder: Path) -> dict[str, int]:
    """By the results file of the run."""
    found = [entry["outcome"] for entry in read_lines((folder / "results").read_bytes())]
    return {outcome: found.count(outcome) for outcome in ("delivered", "rejected", "invalid", "in_doubt")}


def counted(folder: Path) -> str:
    """The same in the words of verify."""
    found = outcomes(folder)
    assert found["rejected"] > 0
    return f"delivered {found['delivered']}, rejected {found['rejected']}, invalid 1"


def hash_at(db: Tampering, ordinal: int) -> int:
    """The hash that the ledger has of a record."""
    [(found,)] = db.execute("SELECT hash FROM record WHERE ordinal = ?", (ordinal,)).fetchall()
    return int(found)


def test_results_are_the_file_byte_by_byte(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What results prints is what the run wrote, so a lost results file is made again."""
    assert main(["results", "kept"]) == 0
    assert capfd.readouterr() == ((folder / "results").read_text(), "")


def test_results_may_lose_their_reader(folder: Path) -> None:
    """As with ``| head``: no word, no error."""
    reading, writing = os.pipe()
    os.close(reading)
    program = Program(folder, _PLACES[-1])
    try:
        done = program.finish(program.start("results", "kept", stdout=writing))
    finally:
        os.close(writing)
        program.close()
    assert (done.code, done.err) == (0, "")


def test_results_that_cannot_be_written(folder: Path) -> None:
    """A full disk is an error: what was printed is not all."""
    program = Program(folder, _PLACES[-1])
    try:
        with Path("/dev/full").open("wb") as full:
            done = program.finish(program.start("results", "kept", stdout=full))
    finally:
        program.close()
    assert done.code == 9
    assert done.err == "veetro-batch: error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("command", [["results"], ["status"], ["verify"]])
@pytest.mark.parametrize("name", ["first", "none"])
def test_what_is_no_ledger(folder: Path, capfd: pytest.CaptureFixture[str], command: list[str], name: str) -> None:
    """It is refused, stays as it is, and none is made."""
    assert main([*command, name]) == 9
    out, err = capfd.readouterr()
    assert out == ""
    assert "ledger" in err
    assert (folder / "first").read_bytes() == FIRST
    assert not (folder / "none").exists()


def limit() -> object:
    with opened(place()) as store:
        return store.value("limit")


def test_status_of_a_run_that_has_ended(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Totals by outcome, and that nothing is open."""
    found = outcomes(folder)
    assert main(["status", "kept"]) == 0
    told = capfd.readouterr().out.splitlines()
    assert told[0] == "ledger: kept, no run is writing it"
    assert told[1].endswith(", SetOutlookSyncRecord, in order by SourceID,VeetroID")
    assert re.fullmatch(r"last run: began 20.+, ended 20.+ with exit code 3", told[2])
    assert told[3:] == [
        "641 records with an outcome",
        f"  delivered  {found['delivered']}",
        f"  rejected   {found['rejected']:>3}",
        "  invalid      1",
        "  in doubt     0",
        "0 records without one may have been sent",
        "left: 0 records (the input was read to its end)",
    ]
    assert main(["status", "--json", "kept"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["endpoint"].startswith("http://127.0.0.1:")
    ran = told.pop("run")
    size = sum((folder / name).stat().st_size for name in ("first", "second"))
    assert (ran["records_read"], ran["bytes_read"], ran["input_bytes"]) == (RECORDS, size, size)
    assert (ran["exit_code"], ran["left"]) == (3, {"records": 0, "exact": True, "bytes": 0})
    assert 0 < ran["started"] <= ran["updated"] <= ran["ended"]
    assert ran["mean_rate"] > 0
    assert {name: value for name, value in told.items() if name != "endpoint"} == {
        "ledger": "kept",
        "writing": False,
        "operation": "SetOutlookSyncRecord",
        "order": "SourceID,VeetroID",
        "shard": None,
        "records": RECORDS,
        "outcomes": found,
        "in_doubt_lines": [],
        "open_intents": 0,
        "reopened": 0,
        "rate": None,
        "concurrency_limit": limit(),
    }


def test_status_while_a_run_writes(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in flight, and the rate at which outcomes come while status looks on."""
    with hold(place()) as held, closing(held.open()) as store:
        store.begin_run(5.0, 641, again=False)
        # Half of the bytes hold 1,000 records: there may be 2,000, of which 691 and then 741 have their outcome.
        store.commit(Commit(windows={9: {700: 7, 701: 8}}, reading=Reading(15.0, 1000, 500, 1000, whole=False)))
        first = iter((1000, 2000))

        def look_on(seconds: float) -> None:
            assert seconds == 1
            number = next(first)
            store.commit(Commit(records={Outcome.DELIVERED: {number + each: 0 for each in range(50)}}))

        times = iter((10.0, 12.0, 20.0, 21.0))
        monkeypatch.setattr(
            "batcher.status.time",
            SimpleNamespace(
                sleep=look_on, monotonic=lambda: next(times), localtime=time.localtime, strftime=time.strftime
            ),
        )
        assert main(["status", "kept"]) == 0
        text = capfd.readouterr().out
        assert main(["status", "kept", "--json"]) == 0
        told = json.loads(capfd.readouterr().out)
    assert text.startswith("ledger: kept, a run is writing it now\n")
    assert "\n691 records with an outcome\n" in text
    assert text.endswith(
        "\n2 records without one may be in flight\nleft: about 1,309 records, 500 bytes of the input not read\n"
        "rate: 25 records/s, 5 since it began\ndone in about 0:52 at this rate\n"
    )
    assert told["run"]["left"] == {"records": 1259, "exact": False, "bytes": 500}
    assert told["run"]["eta_seconds"] == 25.2
    assert told["run"]["mean_rate"] == 10.0
    assert (told["run"]["ended"], told["run"]["exit_code"]) == (None, None)
    assert (told["writing"], told["records"], told["open_intents"], told["rate"]) == (True, 741, 2, 50.0)


def test_verify_proves(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Names of inputs do not count, nor how they are packed; blank lines are no records."""
    Path("third").write_bytes(SECOND)
    for second in ("second", "third"):
        assert main(["verify", "kept", "first", second]) == 0
        proof = f"641 records: every one has exactly one outcome ({counted(folder)})\n"
        assert capfd.readouterr() == (proof, "")


def test_verify_leaves_out_what_the_run_left_out(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """How many records a run skipped is known to its ledger; where it took only so many, --limit says so again."""
    monkeypatch.setattr(f"{__name__}._PLACES", [places])
    monkeypatch.chdir(tmp_path)
    given, kept = tmp_path / "given", "kept"
    given.write_bytes(many(20))
    run = [str(given), "--ledger", kept, "--results=none", "--progress=off", "--skip=3", "--limit=10"]
    with Background() as background, background.sandbox() as sandbox:
        assert main([*run, "--endpoint", sandbox.url]) == 0
    capfd.readouterr()
    assert main(["verify", kept, str(given), "--limit=10"]) == 0
    assert capfd.readouterr().out == "10 records: every one has exactly one outcome (delivered 10)\n"
    assert main(["verify", kept, str(given)]) == 3
    found = "  no outcome, and never sent: 7 (line 14, line 15, line 16, line 17, line 18, …)\n"
    assert capfd.readouterr().out.endswith(f"(in the ledger: delivered 10)\n{found}")


def findings(capfd: pytest.CaptureFixture[str], *inputs: str) -> list[str]:
    """What verify finds, without the words before it."""
    assert main(["verify", "kept", *(inputs or ("first", "second"))]) == 3
    first, *found = capfd.readouterr().out.splitlines()
    assert " records: it is not so that every one has exactly one outcome (in the ledger: delivered " in first
    return [line.strip() for line in found]


@pytest.mark.usefixtures("folder")
def test_verify_finds_inputs_that_were_changed(capfd: pytest.CaptureFixture[str]) -> None:
    """A changed line, one that is missing at the end, and one that was added, each at its place."""
    lines = FIRST.splitlines(keepends=True)
    Path("changed").write_bytes(b"".join(lines[:6]) + lines[6].replace(b"S-7", b"S-8") + b"".join(lines[7:]))
    assert findings(capfd, "changed", "second") == [
        "not the line that the ledger knows at this place: 1 (line 7 of changed)",
        "result lines that belong to none of these records: 1 (line 7)",
    ]
    Path("cut").write_bytes(b"".join(SECOND.splitlines(keepends=True)[:-2]))
    assert findings(capfd, "first", "cut") == [
        "known to the ledger, and behind the end of the input: 2 (record 640, record 641)",
        "result lines that belong to none of these records: 2 (line 39, line 40)",
    ]
    Path("grown").write_bytes(SECOND + many(1))
    assert findings(capfd, "first", "grown") == ["no outcome, and never sent: 1 (line 41 of grown)"]


def test_verify_finds_records_without_an_outcome(db: Tampering, capfd: pytest.CaptureFixture[str]) -> None:
    """Whether they may have been sent is told, and so is an intent that was left open beside an outcome."""
    window = {ordinal: hash_at(db, ordinal) for ordinal in (3, 9)}
    db.execute("INSERT INTO intent VALUES (99, ?)", (json.dumps(window),))
    db.execute("DELETE FROM record WHERE ordinal IN (3, 4)")
    assert findings(capfd) == [
        "no outcome, and perhaps sent: 1 (line 3 of first)",
        "no outcome, and never sent: 1 (line 4 of first)",
        "an outcome, and still an intent to send: 1 (line 9 of first)",
        "result lines that belong to none of these records: 3 (line 3, line 4, line 9)",
    ]


@pytest.mark.usefixtures("folder")
def test_verify_finds_intents_behind_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    """What may have been sent and is in no input is not passed over in silence."""
    with opened(place(), write=True) as store:
        store.commit(Commit(windows={99: {2000: 5}}))
    assert findings(capfd) == ["known to the ledger, and behind the end of the input: 1 (record 2000)"]


@pytest.mark.parametrize(("member", "value"), [("line", 1005), ("hash", "0" * 16), ("outcome", "in_doubt")])
def test_verify_finds_result_lines_that_say_otherwise(
    db: Tampering, capfd: pytest.CaptureFixture[str], member: str, value: str | int
) -> None:
    """Line number, hash and outcome of a line must be those of its record: one that is wrong is enough."""
    with opened(place(), write=True) as store:
        told = {ordinal: json.loads(line) for commit in store.told("results") for ordinal, line in commit}
        (wrong,) = (entry for entry in told.values() if entry["key"] == ["S-5", 5])
        wrong[member] = value
        db.execute("DELETE FROM lines")
        lines = [json.dumps(entry).encode() + b"\n" for entry in told.values()]
        store.commit(Commit(results=lines, results_of=list(told)))
    assert findings(capfd) == [
        "no result line that says the outcome: 1 (line 5 of first)",
        f"result lines that belong to none of these records: 1 (line {wrong['line']})",
    ]


def test_verify_finds_records_without_their_line(db: Tampering, capfd: pytest.CaptureFixture[str]) -> None:
    """An outcome that a line tells otherwise, or that none tells, is not told."""
    with opened(place(), write=True) as store:
        store.commit(Commit(records={Outcome.IN_DOUBT: {12: store.known(12, 12)[12].hash}}))
    assert findings(capfd) == [
        "no result line that says the outcome: 1 (line 12 of first)",
        "result lines that belong to none of these records: 1 (line 12)",
    ]
    db.execute("DELETE FROM lines")
    assert findings(capfd) == [
        f"no result line that says the outcome: 641 ({', '.join(f'line {each} of first' for each in range(1, 6))}, …)"
    ]


@pytest.mark.usefixtures("folder")
def test_verify_finds_lines_told_twice(capfd: pytest.CaptureFixture[str]) -> None:
    """One outcome has one line; another one, though it says the same, must say where the record came from."""
    with opened(place()) as reading:
        ordinal, line = next(reading.told("results"))[0]
    with opened(place(), write=True) as store:
        store.commit(Commit(results=[line + b"\n"] * 2, results_of=[ordinal] * 2))
    found = "more than one result line, and the later ones do not say why"
    assert findings(capfd) == [f"{found}: 1 (line {json.loads(line)['line']} of first)"]


@pytest.mark.parametrize("change", ["records = records + 1", "records = 0"])
def test_verify_counts_for_itself(db: Tampering, folder: Path, capfd: pytest.CaptureFixture[str], change: str) -> None:
    """What is printed was counted record by record, and totals of the ledger that differ from it are a finding."""
    db.execute(f"UPDATE total SET {change} WHERE outcome IN ('delivered', 'invalid')")
    found = outcomes(folder)
    delivered, invalid = (found["delivered"] + 1, 2) if "+" in change else (0, 0)
    assert main(["verify", "kept", "first", "second"]) == 3
    assert capfd.readouterr().out == (
        f"641 records: it is not so that every one has exactly one outcome (in the ledger: {counted(folder)})\n"
        "  the ledger's own totals are not what was counted: 2"
        f" (delivered: {delivered} instead of {found['delivered']}, invalid: {invalid} instead of 1)\n"
    )


def test_verify_counts_what_is_behind_the_end(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Records that are not in the inputs are counted too, so the totals are no finding beside them."""
    assert main(["verify", "kept", "first"]) == 3
    first, *found = capfd.readouterr().out.splitlines()
    assert first.endswith(f"(in the ledger: {counted(folder)})")
    assert [line.partition(":")[0].strip() for line in found] == [
        "known to the ledger, and behind the end of the input",
        "result lines that belong to none of these records",
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE total SET outcome = 'x' WHERE outcome = 'invalid'", "totals cannot be read: 'x' is not a valid"),
        ("UPDATE total SET records = 'many'", "totals cannot be read: "),
        ("INSERT INTO intent VALUES (99, '[]')", "intents cannot be read: "),
    ],
)
def test_a_damaged_value_is_refused(db: Tampering, capfd: pytest.CaptureFixture[str], change: str, what: str) -> None:
    """A value that no run has written is the ledger's damage, exit 9, and no error of the program."""
    (endpoint,) = db.execute("SELECT value FROM meta WHERE name = 'endpoint'").fetchone()
    if "'many'" in change and is_database(place()):
        with pytest.raises(psycopg.DataError):  # there a number is a number
            db.execute(change)
        return
    db.execute(change)
    run = ["--endpoint", endpoint, "--ledger=kept", "--results=none", "--progress=off", "--order-by=SourceID,VeetroID"]
    for command in (["verify", "kept", "first", "second"], ["status", "kept"], ["first", "second", *run]):
        assert main(command) == 9, command
        out, err = capfd.readouterr()
        assert out == ""
        assert re.search(f"error: the ledger kept is damaged: {what}", err), err


def test_a_damaged_outcome_is_refused_where_the_totals_are_whole(
    db: Tampering, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is found when its record is compared, or read again by a run."""
    (endpoint,) = db.execute("SELECT value FROM meta WHERE name = 'endpoint'").fetchone()
    db.execute("DROP TRIGGER record_changed")
    db.execute("UPDATE record SET outcome = 'x' WHERE ordinal = 5")
    run = ["--endpoint", endpoint, "--ledger=kept", "--results=none", "--progress=off", "--order-by=SourceID,VeetroID"]
    for command in (["verify", "kept", "first", "second"], ["first", "second", *run]):
        assert main(command) == 9, command
        err = " ".join(capfd.readouterr().err.split())
        assert "the ledger kept is damaged: outcomes cannot be read: 'x' is not a valid Outcome" in err


def test_damaged_records_that_are_open_again_are_refused(db: Tampering, capfd: pytest.CaptureFixture[str]) -> None:
    """What came before such a record is read where it is compared."""
    db.execute("INSERT INTO reopened (ordinal, hash, origin) VALUES (5, ?, '{}')", (hash_at(db, 5),))
    assert main(["verify", "kept", "first", "second"]) == 9
    assert "the ledger kept is damaged: reopened records cannot be read: " in capfd.readouterr().err


@pytest.mark.usefixtures("folder")
def test_verify_refuses_a_ledger_with_other_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """What is no result line proves nothing."""
    with opened(place(), write=True) as store:
        store.commit(Commit(results=[b'{"line":1}\n'], results_of=[1]))
    assert main(["verify", "kept", "first", "second"]) == 9
    assert "kept is damaged: it holds what is no result line" in capfd.readouterr().err


@pytest.mark.usefixtures("folder")
def test_verify_refuses_a_ledger_with_lines_of_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    """Each line must be some record's."""
    with opened(place()) as reading:
        _, line = next(reading.told("results"))[0]
    with opened(place(), write=True) as store:
        store.commit(Commit(results=[line + b"\n"] * 2, results_of=[1]))
    assert main(["verify", "kept", "first", "second"]) == 9
    assert "belong to no records" in capfd.readouterr().err


@pytest.mark.usefixtures("folder")
def test_verify_needs_its_inputs(capfd: pytest.CaptureFixture[str]) -> None:
    """One that is not there, or cannot be read to its end, is no proof of anything."""
    assert main(["verify", "kept", "first", "none"]) == 9
    Path("torn").write_bytes(Path("second").read_bytes()[:-20])
    assert main(["verify", "kept", "first", "torn"]) == 9
    assert capfd.readouterr().out == ""


def test_verify_waits_for_no_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """While a run writes nothing can be proved: exit 8, at once."""
    with hold(place()):
        assert main(["verify", "kept", "first", "second"]) == 8
    assert "a run is writing the ledger kept" in capfd.readouterr().err
    assert main(["verify", "kept", "first", "second"]) == 0


def test_no_run_begins_during_a_proof(folder: Path) -> None:
    """Until the inputs have ended the ledger cannot be written, and then it can."""
    os.mkfifo("fifo")
    program = Program(folder, _PLACES[-1])
    try:
        process = program.start("verify", "kept", "first", "fifo")
        with Path("fifo").open("wb") as fifo:  # waits until verify has come to this input
            with pytest.raises(LedgerInUse):
                hold(place())
            fifo.write(SECOND)
        assert program.finish(process).code == 0
    finally:
        program.close()
    hold(place()).close()
