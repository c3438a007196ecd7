"""Shards: N runs that each take a part do together what one run does, and each keeps to its own part."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from typing import Any

import pytest

from batcher import Settings, submit
from batcher.errors import SettingsError
from batcher.sandbox import Sandbox
from batcher.values import Shard
from tests.e2e.conftest import StartSandbox
from tests.e2e.program import Done, Program, lines, many, record

COUNT = 3
LONGEST = 700
"""Bytes of a line."""
ODD = [
    b"\r\n",
    b"  \t\n",
    b"{broken\n",
    b"[1]\n",
    b'{"SourceID": "S-3", "Nothing": 1}\n',
    b"\xff\xfe\n",
    b'{"SourceID": "' + b"x" * 2 * LONGEST + b'"}\r\n',
    *(lines(record(900 + number, SourceID=value)) for number, value in enumerate((None, "", "S-1", "é", 'a\\"b', "{"))),
]
"""Blank lines, lines that are no records, and keys that are none or are written in other ways."""
INPUT = b"\xef\xbb\xbf" + b"".join([many(30), *ODD, many(50), *ODD, many(40)[:-1]])


def told(done: Done, *without: str) -> list[str]:
    """Its result lines in an order that does not depend on time, without the time that each took and these members."""
    found = [json.loads(line) for line in done.out.splitlines()]
    return sorted(
        json.dumps({name: value for name, value in each.items() if name not in ("seconds", *without)}, sort_keys=True)
        for each in found
    )


def run_all(program: Program, sandbox: Sandbox, *arguments: str, by: str = "key", count: int = COUNT) -> list[Done]:
    """Each shard once, all at the same time."""
    common = ("--endpoint", sandbox.url, "--stop-after=none", f"--max-line-bytes={LONGEST}", *arguments)
    return program.run_each(((*common, f"--shard={index}/{count}", f"--shard-by={by}"), b"") for index in range(count))


def run_whole(program: Program, sandbox: Sandbox, *paths: str) -> Done:
    return program.run(*paths, "--endpoint", sandbox.url, "--stop-after=none", f"--max-line-bytes={LONGEST}")


def begins() -> dict[int, int]:
    """By physical line of the input: the byte at which it begins."""
    offsets, at = {}, 3
    for number, line in enumerate(INPUT[3:].split(b"\n"), 1):
        offsets[number] = at
        at += len(line) + 1
    return offsets


def test_shards_by_key_do_what_one_run_does(program: Program, start_sandbox: StartSandbox) -> None:
    """The same result lines, numbers included, the same records applied as often, and each key in one shard alone."""
    (program.directory / "in.ndjson").write_bytes(INPUT)
    alone, together = start_sandbox(), start_sandbox()
    whole = run_whole(program, alone, "in.ndjson")
    parts = run_all(program, together, "in.ndjson")
    assert Counter(told(whole)) == Counter(line for part in parts for line in told(part))
    assert len(told(whole)) == 120 + 2 * (len(ODD) - 2)
    assert together.stats().applied == alone.stats().applied
    keys = [
        {json.dumps(each["key"]) for each in part.results if each["key"] and each["outcome"] == "delivered"}
        for part in parts
    ]
    assert sum(map(len, keys)) == len(set().union(*keys))
    assert all(keys)


def test_shards_by_range_do_what_one_run_does(program: Program, start_sandbox: StartSandbox) -> None:
    """The same results; line numbers begin in each part, and offsets tell the place in the file."""
    (program.directory / "in.ndjson").write_bytes(INPUT)
    alone, together = start_sandbox(), start_sandbox()
    whole = run_whole(program, alone, "in.ndjson")
    parts = run_all(program, together, "in.ndjson", by="range", count=5)
    offsets = begins()
    expected = Counter((offsets[each["line"]], each["hash"], each["outcome"]) for each in whole.results)
    assert (
        Counter((each["offset"], each["hash"], each["outcome"]) for part in parts for each in part.results) == expected
    )
    hidden = ("line", "offset", "error")  # a message names the line
    assert Counter(told(whole, *hidden)) == Counter(line for part in parts for line in told(part, *hidden))
    assert together.stats().applied == alone.stats().applied
    numbers = {offset: number for number, offset in offsets.items()}
    for part in parts:  # lines are counted from the part's first one, blank ones too
        begun = {numbers[each["offset"]] - each["line"] for each in part.results}
        assert len(begun) == 1


@pytest.mark.parametrize("by", ["key", "range"])
def test_tiny_inputs(program: Program, sandbox: Sandbox, by: str) -> None:
    """More shards than lines: some have nothing to do, which is no failure, and of several files each has its part."""
    (program.directory / "one").write_bytes(lines(record(1))[:-1])
    (program.directory / "two").write_bytes(b"\n" + lines(record(2)))
    (program.directory / "empty").write_bytes(b"")
    parts = run_all(program, sandbox, "one", "two", "empty", by=by, count=4)
    assert [part.code for part in parts] == [0] * 4
    assert sorted(each["input"] for part in parts for each in part.results) == ["one", "two"]
    assert sandbox.stats().applied == {"S-1": 1, "S-2": 1}
    idle = [part for part in parts if not part.results]
    assert all("there was no record of shard" in part.err for part in idle)
    assert len(idle) >= 2


@pytest.mark.parametrize("by", ["key", "range"])
def test_a_ledger_is_of_one_shard(program: Program, sandbox: Sandbox, by: str) -> None:
    """The same command again sends nothing; another shard, or none, is refused; verify and status know the shard."""
    (program.directory / "in.ndjson").write_bytes(INPUT)

    def run(*arguments: str) -> Done:
        common = ("--endpoint", sandbox.url, "--ledger=ledger", "--stop-after=none", f"--max-line-bytes={LONGEST}")
        return program.run("in.ndjson", *common, *arguments)

    first = run("--shard=1/3", f"--shard-by={by}")
    assert first.code == 3
    sent = sandbox.stats().requests
    assert run("--shard=1/3", f"--shard-by={by}").code == 3
    assert sandbox.stats().requests == sent
    other = "range" if by == "key" else "key"
    for arguments in (
        ["--shard=2/3", f"--shard-by={by}"],
        ["--shard=1/4", f"--shard-by={by}"],
        [],
        ["--shard=1/3", f"--shard-by={other}"],
    ):
        refused = run(*arguments)
        assert refused.code == 9
        assert f"belongs to shard 1/3 by {by}, and this run has" in refused.err
    assert sandbox.stats().requests == sent
    verified = program.run("verify", "ledger", "in.ndjson")
    assert (verified.code, len(first.results)) == (0, int(verified.out.split()[0]))
    assert json.loads(program.run("status", "ledger", "--json").out)["shard"] == f"1/3 by {by}"
    assert f", shard 1/3 by {by}\n" in program.run("status", "ledger").out.decode()


def test_a_run_of_all_has_no_shard(program: Program, sandbox: Sandbox) -> None:
    """Its ledger takes no shard either."""
    (program.directory / "in.ndjson").write_bytes(many(3))
    common = ("in.ndjson", "--endpoint", sandbox.url, "--ledger=ledger")
    assert program.run(*common).code == 0
    refused = program.run(*common, "--shard=0/2")
    assert (refused.code, "belongs to shard none" in refused.err) == (9, True)
    assert json.loads(program.run("status", "ledger", "--json").out)["shard"] is None


def test_a_file_that_grew_has_other_ranges(program: Program, sandbox: Sandbox) -> None:
    """A shard that is resumed would begin and end elsewhere: the run and verify refuse it. By key it is only longer."""
    path = program.directory / "in.ndjson"
    path.write_bytes(many(40))
    common = ("in.ndjson", "--endpoint", sandbox.url)
    assert program.run(*common, "--ledger=range", "--shard=0/2", "--shard-by=range").code == 0
    assert program.run(*common, "--ledger=key", "--shard=0/2").code == 0
    sent = sandbox.stats().requests
    size = path.stat().st_size
    path.write_bytes(many(80))
    refused = program.run(*common, "--ledger=range", "--shard=0/2", "--shard-by=range")
    assert refused.code == 9
    assert f"belongs to input sizes {size}, and this run has {path.stat().st_size}" in refused.err
    assert program.run("verify", "range", "in.ndjson").code == 9
    assert sandbox.stats().requests == sent
    assert program.run(*common, "--ledger=key", "--shard=0/2").code == 0
    assert sandbox.stats().requests > sent


def test_what_came_of_a_record_is_told_by_its_place(program: Program, start_sandbox: StartSandbox) -> None:
    """Resubmitted out of the ledger of a range, its line tells the offset again, and so does its origin."""
    (program.directory / "in.ndjson").write_bytes(many(20, CurrentStatus="Completed"))
    broken = start_sandbox(faults={"client": 1.0})
    run = ("in.ndjson", "--stop-after=none", "--ledger=ledger", "--shard=1/2", "--shard-by=range")
    first = program.run(*run, "--endpoint", broken.url)
    assert (first.code, first.outcomes) == (3, {"rejected": len(first.results)})
    again = program.run(
        "resubmit", "ledger", "--endpoint", broken.url, "--stop-after=none", "--shard=1/2", "--shard-by=range"
    )
    assert [each["offset"] for each in again.results] == [each["offset"] for each in first.results]
    assert [each["origin"]["offset"] for each in again.results] == [each["offset"] for each in first.results]
    assert program.run("resubmit", "ledger", "--endpoint", broken.url, "--stop-after=none").code == 3
    other = program.run("resubmit", "ledger", "--endpoint", broken.url, "--shard=0/2", "--shard-by=range")
    assert (other.code, "belongs to shard 1/2 by range" in other.err) == (9, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--shard=2/2", "in"],
            "--shard: '2/2' is not a shard and how many there are, such as 0/16: the first one is 0",
        ),
        (["--shard=0/0", "in"], "there may be 1 to 1000000 shards"),
        (["--shard=1", "in"], "--shard: '1' is not a shard"),
        (["--shard-by=range", "in"], "--shard-by: without --shard every run would send everything"),
        (["--shard=0/2", "--shard-by=range"], "standard input is a stream, which has no ranges; name the files"),
        (["--shard=0/2", "--shard-by=range", "in", "in.gz"], "in.gz is compressed, and can be read only as a whole"),
        (["--shard=0/2", "--shard-by=range", "in", "pipe"], "pipe is a stream, which has no ranges"),
        (
            ["resubmit", "rejects", "--shard=0/2"],
            "--shard: the lines of a rejects file are numbered, and submitted, as",
        ),
    ],
)
def test_what_makes_no_shard(program: Program, sandbox: Sandbox, arguments: list[str], words: str) -> None:
    """Exit 2, with the option and what would be right, and nothing is sent."""
    (program.directory / "in").write_bytes(many(2))
    (program.directory / "in.gz").write_bytes(gzip.compress(many(2)))
    (program.directory / "rejects").write_bytes(b"{}\n")
    os.mkfifo(program.directory / "pipe")
    done = program.run(*arguments, "--endpoint", sandbox.url, given=many(2))
    assert (done.code, done.out) == (2, b"")
    assert words in done.err
    assert sandbox.stats().requests == 0


def test_streams_and_packed_files_by_key(program: Program, sandbox: Sandbox) -> None:
    """Keys are found in whatever the records come."""
    packed = program.directory / "in.gz"
    packed.write_bytes(gzip.compress(many(30)))
    checked = program.run("check", packed, "--shard=1/3")
    common = ("--endpoint", sandbox.url, "--shard=1/3")
    from_file, from_stream = program.run(*common, packed), program.run(*common, given=many(30))
    assert told(from_file) == told(from_stream)
    assert 0 < len(from_file.results) < 30
    assert f"{len(from_file.results)} records: {len(from_file.results)} can be sent" in checked.err


async def test_from_python(program: Program) -> None:
    """The shards of what a program gives are by key; it has no ranges."""
    records = [record(number) for number in range(1, 13)]
    async with Sandbox() as sandbox:
        found: list[Any] = []
        for index in range(3):
            settings = Settings(endpoint=sandbox.url, shard=Shard(index, 3))
            part = [result.line async for result in submit(records, settings)]
            assert len(part) < len(records)
            found += part
        assert sorted(found) == list(range(1, 13))
        cut = Settings(endpoint=sandbox.url, shard=Shard(0, 3), shard_by="range")
        with pytest.raises(SettingsError, match="records that a program gives have no ranges"):
            await anext(submit(records, cut))
