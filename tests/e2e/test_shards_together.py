"""The ledgers of all shards of a run, told together: what one run has in one ledger, by real runs of both."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from batcher.cli import main
from batcher.core.latency import Latency
from batcher.core.verdict import Outcome, Verdict
from batcher.flow.ledger.commit import Commit
from batcher.flow.ledger.division import ShardedProof
from batcher.flow.ledger.runs import Reading
from batcher.flow.ledger.shards import open_shards
from batcher.flow.ledger.sqlite.lock import Lock
from batcher.flow.ledger.sqlite.store import SqliteStore as Store
from batcher.flow.lines import Line, make_line
from batcher.observe.account import add_counts, read_account
from batcher.observe.summary import Percentiles
from batcher.observe.tally import Tally
from batcher.values import Shard
from tests.e2e.program import Program, lines, many, read_lines, record
from tests.e2e.servers import Background
from tests.in_process import alone

ODD = b'\n{broken\n  \n[1]\n{"SourceID": "S-3", "Nothing": 1}\n' + lines(record(900, SourceID=None))
INPUTS = {"one": many(70) + ODD + many(20), "two": ODD + many(40)[:-1]}
RECORDS = 138
INVALID = 6
KEYS = ("key0", "key1", "key2")
RANGES = ("range0", "range1", "range2")
WAYS = pytest.mark.parametrize("ledgers", [KEYS, RANGES], ids=["key", "range"])


class Call(Protocol):
    """Do a command: its exit code, what it printed, and what it said."""

    def __call__(self, *arguments: str) -> tuple[int, str, str]: ...


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledgers of one run, of three shards by key and of three by range, all of the same two inputs."""
    folder = tmp_path_factory.mktemp("finished")
    for name, content in INPUTS.items():
        (folder / name).write_bytes(content)
    program = Program(folder)
    shards = [
        (f"{by}{index}", ["--shard", f"{index}/3", "--shard-by", by]) for by in ("key", "range") for index in range(3)
    ]
    try:
        with Background() as background, background.sandbox() as sandbox:
            common = ["one", "two", "--endpoint", sandbox.url, "--stop-after=none", "--results=none"]
            done = program.run_each(
                ([*common, "--ledger", ledger, *shard], b"") for ledger, shard in [("whole", []), *shards]
            )
    finally:
        program.close()
    assert {each.code for each in done} <= {0, 3}
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that directory, and the present one."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def call(folder: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Does commands in that directory."""
    assert folder == Path.cwd()

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capfd.readouterr()

    return call


def told(out: str) -> Counter[str]:
    """Result lines without what depends on time, and without the numbers, which in a range are its own."""
    hidden = ("seconds", "line", "offset", "error")
    return Counter(
        json.dumps({name: value for name, value in each.items() if name not in hidden}, sort_keys=True)
        for each in read_lines(out.encode())
    )


def view_of(file: str) -> dict[str, Any]:
    """What a report carries."""
    found = re.search(r'<script type="application/json" id="view">(.*?)</script>', Path(file).read_text(), re.DOTALL)
    assert found is not None
    view: dict[str, Any] = json.loads(found[1])
    return view


@WAYS
def test_status_adds_up(call: Call, ledgers: tuple[str, ...]) -> None:
    """Totals are those of the one run, whatever the order of the ledgers; each shard has its row."""
    whole = json.loads(call("status", "whole", "--json")[1])
    code, out, err = call("status", "--json", *reversed(ledgers))
    facts = json.loads(out)
    by = ledgers[0][:-1]
    assert (code, err) == (0, "")
    assert whole["outcomes"] == {"delivered": RECORDS - INVALID, "rejected": 0, "invalid": INVALID, "in_doubt": 0}
    for name in ("records", "outcomes", "open_intents", "reopened", "operation", "order", "rate", "writing"):
        assert facts[name] == whole[name], name
    assert facts["left"] == {"records": 0, "exact": True}
    assert facts["shards"] == {"count": 3, "by": by, "missing": [], "twice": []}
    assert [each["ledger"] for each in facts["each"]] == list(ledgers)
    assert [each["shard"] for each in facts["each"]] == [f"{index}/3 by {by}" for index in range(3)]
    assert all(each == json.loads(call("status", each["ledger"], "--json")[1]) for each in facts["each"])
    text = call("status", *ledgers)[1].splitlines()
    assert text[0] == f"3 ledgers of 3 shards by {by}, no run is writing them"
    assert f"{RECORDS} records with an outcome" in text
    assert "left: 0 records (each shard has read its input to the end)" in text
    rows = [line.split() for line in text[-3:]]
    assert [row[0] for row in rows] == ["0/3", "1/3", "2/3"]
    assert sum(int(row[1]) for row in rows) == RECORDS
    assert [row[-1] for row in rows] == list(ledgers)
    assert {row[-2] for row in rows} <= {"0", "3"}


def test_status_tells_what_is_missing_or_double(call: Call) -> None:
    """A shard without a ledger leaves open what is left; one that is given twice counts once."""
    shutil.copy("key0", "other")
    facts = json.loads(call("status", "--json", "key0", "key1", "other", "key1")[1])
    alone = [json.loads(call("status", "--json", ledger)[1])["records"] for ledger in ("key0", "key1")]
    assert facts["records"] == sum(alone)
    assert facts["shards"]["missing"] == ["2/3"]
    assert facts["shards"]["twice"] == [
        {"shard": "0/3", "counted": "key0", "ledger": "other"},
        {"shard": "1/3", "counted": "key1", "ledger": "key1"},
    ]
    assert facts["left"] == {"records": None, "exact": False}
    text = call("status", "key0", "key1", "other")[1]
    assert "not all of the run: no ledger is given of the shards 2/3\n" in text
    assert "two ledgers of shard 0/3: other is left out, key0 counts\n" in text


def test_status_while_some_write(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates are added; the end is that of the last shard, and nobody knows it while one with something left rests."""
    monkeypatch.setattr("batcher.status._RATE_SECONDS", 0.02)
    with Lock("key1", 0), closing(Store("key1", write=True)) as store:
        store.begin_run(5.0, 0, again=False)
        store.commit(Commit(windows={9: {700: 7}}, reading=Reading(15.0, 1000, 500, 1000, whole=False)))
        facts = json.loads(call("status", "--json", *KEYS)[1])
        ours = facts["each"][1]
        assert (facts["writing"], facts["rate"], facts["open_intents"]) == (True, 0.0, 1)
        assert [each["writing"] for each in facts["each"]] == [False, True, False]
        assert facts["left"] == {"records": 2000 - ours["records"], "exact": False}
        assert facts["eta_seconds"] == ours["run"]["eta_seconds"] > 0
        with closing(Store("key2", write=True)) as other:
            other.begin_run(5.0, 0, again=False)
            other.commit(Commit(reading=Reading(15.0, 1000, 500, 1000, whole=False)))
        assert json.loads(call("status", "--json", *KEYS)[1])["eta_seconds"] is None
        text = call("status", *KEYS)[1]
    assert text.startswith("3 ledgers of 3 shards by key, 1 of them written now\n")
    assert "\n1 record without one may be in flight\n" in text
    assert [line.split()[-2] for line in text.splitlines()[-2:]] == ["writing", "killed"]


def test_status_names_records_in_doubt_with_their_ledger(call: Call) -> None:
    """For a line number alone does not say to which ledger a person's word belongs."""
    line = b'{"line":7,"outcome":"in_doubt","key":"S","error":{"kind":"timeout"}}\n'
    for ledger in ("range0", "range2"):
        with closing(Store(ledger, write=True)) as store:
            ordinal = store.last() + 1
            of = [ordinal]
            store.commit(Commit(records={Outcome.IN_DOUBT: {ordinal: 0}}, rejects=[line], rejects_of=of))
    told = json.loads(call("status", "--json", *RANGES)[1])["in_doubt_lines"]
    assert [(each["line"], each["ledger"]) for each in told] == [(7, "range0"), (7, "range2")]
    text = call("status", *RANGES)[1]
    assert '  line 7, key "S", in range2: timeout\n' in text
    assert "veetro-batch settle LEDGER --line N" in text


@pytest.mark.parametrize("command", [["status"], ["results"], ["report", "-o", "report.html"], ["verify"]])
@pytest.mark.parametrize(
    ("ledgers", "words"),
    [
        (["key0", "range1"], "the ledger range1 belongs to max-line-bytes None, and key0 to 16777216"),
        (["key0", "whole"], "the ledger whole is of a whole run"),
        (["key0", "elsewhere"], "the ledger elsewhere belongs to endpoint http://other/, and key0 to http://127"),
        (["key0", "quarter"], "the ledger quarter belongs to 4 shards by key, and key0 to 3 by key"),
        (["key0", "torn"], "the ledger torn is damaged: it belongs to no shard that there can be"),
    ],
)
def test_ledgers_of_other_runs_are_refused(call: Call, command: list[str], ledgers: list[str], words: str) -> None:
    """Exit 9 with the first difference: no total is made of what does not belong together."""
    for name, member, value in (
        ("elsewhere", "endpoint", "http://other/"),
        ("quarter", "shard", "1/4 by key"),
        ("torn", "shard", "3/3 by key"),
    ):
        shutil.copy("key1", name)
        with closing(Store(name, write=True)) as store, store.writing() as db:
            db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, member))
    code, out, err = call(command[0], *ledgers, *command[1:])
    assert (code, out) == (9, "")
    assert words in err
    assert not Path("report.html").exists()


@WAYS
def test_results_have_each_line_once(call: Call, ledgers: tuple[str, ...]) -> None:
    """The lines of all shards are those of the one run."""
    code, out, err = call("results", *ledgers)
    assert (code, err) == (0, "")
    assert told(out) == told(call("results", "whole")[1])
    assert len(out.splitlines()) == RECORDS


def test_results_of_some_shards(call: Call) -> None:
    """What is missing is said beside them; what would stand there twice is refused."""
    code, out, err = call("results", "key0", "key2")
    assert (code, out) == (0, call("results", "key0")[1] + call("results", "key2")[1])
    assert err == "veetro-batch: warning: not all results: no ledger is given of the shards 1/3\n"
    shutil.copy("key0", "other")
    code, out, err = call("results", "key0", "key1", "key2", "other")
    assert (code, out) == (9, "")
    assert "two ledgers are given of shard 0/3: key0 and other" in err


@WAYS
def test_verify_proves_all_shards(call: Call, ledgers: tuple[str, ...]) -> None:
    """Each line of the inputs in one shard, with one outcome and one line, given in any order."""
    by = ledgers[0][:-1]
    proof = (
        f"{RECORDS} records in 3 shards by {by}: each in one shard, and every one has exactly one outcome "
        f"(delivered {RECORDS - INVALID}, invalid {INVALID})\n"
    )
    for given in (ledgers, ledgers[::-1]):
        assert call("verify", *given, "one", "two") == (0, proof, "")


@WAYS
def test_verify_finds_shards_that_are_missing_or_double(call: Call, ledgers: tuple[str, ...]) -> None:
    """Records that no ledger accounts for are counted; what has two ledgers may have been sent twice."""
    first, second, third = ledgers
    records = json.loads(call("status", "--json", second)[1])["records"]
    shutil.copy(third, "other")
    code, out, _ = call("verify", first, third, "other", "one", "two")
    assert code == 3
    assert out.splitlines()[1:] == [
        f"  records of shards without a ledger: {records} (shard 1/3)",
        "  shards of which no ledger is given: 1 (1/3)",
        f"  shards with two ledgers: 1 (2/3: {third} and other)",
    ]


@WAYS
def test_verify_finds_what_is_wrong_in_one_shard(call: Call, ledgers: tuple[str, ...]) -> None:
    """The finding names the shard, and the line by its number there."""
    with closing(Store(ledgers[1], write=True)) as store:
        [(ordinal, line)] = [next(store.told("results"))[0]]
        with store.writing() as db:
            db.execute("DELETE FROM record WHERE ordinal = ?", (ordinal,))
    members = json.loads(line)
    code, out, _ = call("verify", *ledgers, "one", "two")
    assert code == 3
    assert out.splitlines()[1:] == [
        f"  no outcome, and never sent: 1 (shard 1/3: line {members['line']} of {members['input']})",
        f"  result lines that belong to none of these records: 1 (shard 1/3: line {members['line']})",
    ]


def test_verify_finds_a_record_in_another_shard(call: Call) -> None:
    """Where two shards have changed places, none accounts for the other's lines."""
    for name, shard in (("key0", "1/3 by key"), ("key1", "0/3 by key")):
        with closing(Store(name, write=True)) as store, store.writing() as db:
            db.execute("UPDATE meta SET value = ? WHERE name = 'shard'", (shard,))
    code, out, _ = call("verify", *KEYS, "one", "two")
    assert code == 3
    assert "not the line that the ledger knows at this place" in out


def test_verify_by_key_of_a_stream_and_with_changes(call: Call, folder: Path) -> None:
    """Lines that were cut off the input are in the ledgers alone, and one that was added is in none."""
    program = Program(folder)
    try:
        done = program.run("verify", *KEYS, given=INPUTS["one"])
        assert (done.code, "result lines that belong to none" in done.out.decode()) == (3, True)
    finally:
        program.close()
    Path("more").write_bytes(INPUTS["two"] + b"\n" + lines(record(5)))
    code, out, _ = call("verify", *KEYS, "one", "more")
    assert code == 3
    assert re.search(r"no outcome, and never sent: 1 \(shard ./3: line \d+ of more\)", out)


@pytest.mark.parametrize("by", ["key", "range"])
def test_verify_leaves_out_what_each_shard_left_out(call: Call, folder: Path, by: str) -> None:
    """--skip and --limit count within a shard."""
    program = Program(folder)
    names = ["part0", "part1"]
    try:
        with Background() as background, background.sandbox() as sandbox:
            common = ["one", "--endpoint", sandbox.url, "--stop-after=none", "--results=none", "--skip=3", "--limit=20"]
            program.run_each(
                ([*common, "--ledger", name, "--shard", f"{index}/2", "--shard-by", by], b"")
                for index, name in enumerate(names)
            )
    finally:
        program.close()
    code, out, _ = call("verify", *names, "one", "--limit=20")
    assert (code, out.partition(" in ")[0]) == (0, "40 records")
    assert call("verify", *names, "one")[0] == 3


@pytest.mark.parametrize(("missing", "again"), [(1, 0), (0, 1), (2, 2)])
async def test_ranges_that_overlap_or_leave_gaps_are_found(folder: Path, missing: int, again: int) -> None:
    """A line that is in no part, or in two, makes another sum than the whole has, also where the counts agree."""

    class Given:
        """Lines as a source."""

        def __init__(self, given: list[Line]) -> None:
            self.given = given

        async def read(self) -> list[Line]:
            given, self.given = self.given, []
            return given

        async def close(self) -> None:
            pass

    whole = [make_line(b"%d" % number, number, 10 * number, 100) for number in range(1, 10)]
    parts: list[list[Line]] = [whole[:3], whole[3:6], whole[6 : 9 - missing] + whole[:again]]
    with open_shards(RANGES) as shards:
        for given, wrong in ((parts, True), ([whole[:3], whole[3:6], whole[6:]], False)):
            proof = ShardedProof(shards, 0, None)

            def part(shard: Shard, given: list[list[Line]] = given) -> Any:
                return Given(given[shard.index])

            await proof.by_range(part, cast("Any", Given(whole)))
            assert ("lines of the input in no shard, or in several" in proof.findings) is wrong


def test_verify_by_range_needs_the_same_sizes(call: Call) -> None:
    """A file that has grown has other ranges: refused before anything is compared."""
    Path("more").write_bytes(INPUTS["two"] + b"\n")
    code, out, err = call("verify", *RANGES, "one", "more")
    assert (code, out) == (9, "")
    sizes = [len(INPUTS["one"]), len(INPUTS["two"])]
    assert (
        f"belongs to shards of inputs of {sizes[0]},{sizes[1]} bytes, and these have {sizes[0]},{sizes[1] + 1}" in err
    )


def test_verify_waits_for_no_shard(call: Call) -> None:
    """One that is written proves nothing yet: exit 8."""
    with Lock("key2", 0):
        code, _, err = call("verify", *KEYS, "one", "two")
    assert code == 8
    assert "a run is writing the ledger key2" in err


@WAYS
def test_the_report_adds_up(call: Call, ledgers: tuple[str, ...]) -> None:
    """Totals of the one run, percentiles of all that was measured in any shard, and a row for each shard."""
    assert call("report", *ledgers, "-o", "all.html") == (0, "", "")
    assert call("report", "whole", "-o", "whole.html")[0] == 0
    view, whole = view_of("all.html"), view_of("whole.html")
    summary = view["summary"]
    for name in ("outcomes", "records", "attempts", "retries", "http", "logins", "mismatches"):
        assert summary[name] == whole["summary"][name], name
    assert {(each["kind"], each["records"]) for each in summary["problems"]} == {
        (each["kind"], each["records"]) for each in whole["summary"]["problems"]
    }
    attempts, records = Latency(), Latency()
    slots = 0.0
    for ledger in ledgers:
        own = Tally(lambda: 0.0)
        with closing(Store(ledger)) as store:
            for *_, packed in store.accounts():
                account = read_account(packed)
                assert account is not None
                add_counts(own, account.counts)
        slots += sum(own.slot_seconds().values())
        for verdict in Verdict:
            attempts.add(own.attempt_seconds[verdict])
    for line in read_lines(call("results", *ledgers)[1].encode()):
        if line["outcome"] != "invalid":
            records.observe(line["seconds"])
    assert attempts.total == summary["attempts"]["total"] == RECORDS - INVALID
    assert summary["request_seconds"] == Percentiles.of([attempts]).to_json()
    assert summary["record_seconds"] == Percentiles.of([records]).to_json()
    columns = view["timeline"]["columns"]
    for prefix, total in (("attempt.", RECORDS - INVALID), ("latency.", RECORDS - INVALID), ("outcome.", RECORDS)):
        assert sum(sum(values) for name, values in columns.items() if name.startswith(prefix)) == total
    assert len({mark[3] for mark in view["timeline"]["marks"] if mark[2] == "end"}) == 3
    assert [mark[1] for mark in view["timeline"]["marks"]] == sorted(mark[1] for mark in view["timeline"]["marks"])
    assert [row["ledger"] for row in view["shards"]] == list(ledgers)
    assert sum(row["records"] for row in view["shards"]) == RECORDS
    assert sum(row["attempts"] for row in view["shards"]) == RECORDS - INVALID
    assert max(row["seconds"] for row in view["shards"]) <= summary["seconds"] + 0.1
    assert summary["exit_code"] == 3
    assert (summary["slots"], whole["summary"]["slots"]) == (3 * 64, 64)
    assert sum(summary["slot_seconds"].values()) == pytest.approx(slots, abs=0.1)
    assert view["spent"].startswith("Of 192 slots, ")
    assert whole["spent"].startswith("Of 64 slots, ")
    assert whole["shards"] == []


def test_the_report_tells_where_a_line_is(call: Call) -> None:
    """An example's line is counted within its shard, which is named; what is missing is told."""
    assert call("report", "range0", "range1", "-o", "some.html")[0] == 0
    view = view_of("some.html")
    assert any("no ledger is given of the shards 2/3" in each for each in view["advice"])
    assert {each["input"] for each in view["summary"]["problems"]} <= {
        f"{name}, shard {index}/3" for name in INPUTS for index in range(3)
    }
    shutil.copy("range0", "other")
    code, _, err = call("report", *RANGES, "other", "-o", "double.html")
    assert (code, Path("double.html").exists()) == (9, False)
    assert "two ledgers are given of shard 0/3" in err
    code, _, err = call("report", *RANGES, "-o", "range1")
    assert (code, "range1 is the ledger, which would be lost" in err) == (2, True)
