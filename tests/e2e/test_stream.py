"""Records in, one result line for every record out: on standard input, from files, compressed or not."""

from __future__ import annotations

import gzip
import json
import sys
from hashlib import blake2b

from batcher.sandbox import Sandbox
from tests.e2e.conftest import StartSandbox
from tests.e2e.program import COMMAND, ROOT, Program, lines, many, read_lines, record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON_TYPES = {
    "ImportSyncRecordID": int, "VeetroID": int, "EntityID_Owner": int, "VeetroType": str, "VeetroIDStr": None,
    "Source": None, "SourceID": str, "SyncIdentifier": None, "SourceType": None, "SourceName": str, "ApplyAction": int,
    "ApplyValues": None, "RemoteTimeStamp": str, "Delete": bool, "CurrentStatusId": int, "Retried": int,
    "LocalTimeStamp": str, "ErrorMsg": None, "DateLastModifiedRemoteUtc": str, "DateLastModifiedLocalUtc": str,
    "CurrentStatus": str,
}  # fmt: skip
"""What the answer's fields are in JSON for the records here; None stands for null."""


def hash_of(line: bytes) -> str:
    return blake2b(line, digest_size=8).hexdigest()


def test_every_line_has_its_result(program: Program, sandbox: Sandbox) -> None:
    """Each record's line, key, hash, attempts, time and answer are in its result line; blank lines only count."""
    first = lines(record(1, ImportSyncRecordID=0, SourceName="Grüße & <b>")).rstrip(b"\n")
    second = lines(record(2, Delete=True, SourceName="")).rstrip(b"\n")
    third = lines(record(3, SourceID="", SourceName="x")).rstrip(b"\n")
    fourth = lines(record(4, SourceID=None, SourceName="x")).rstrip(b"\n")
    given = b"\xef\xbb\xbf" + first + b"\r\n\n \t\r\n" + second + b"\n" + third + b"\n" + fourth
    done = program.run("--endpoint", sandbox.url, given=given)
    assert done.code == 0
    told = [(entry["line"], entry["outcome"], entry["key"], entry["attempts"]) for entry in done.results]
    assert told == [
        (1, "delivered", "S-1", 1),
        (4, "delivered", "S-2", 1),
        (5, "delivered", None, 1),
        (6, "delivered", None, 1),
    ]
    assert [entry["hash"] for entry in done.results] == [hash_of(line) for line in (first, second, third, fourth)]
    for entry in done.results:
        assert list(entry) == ["line", "outcome", "key", "attempts", "seconds", "hash", "result"]
        assert isinstance(entry["seconds"], float)
        assert entry["seconds"] > 0
        assert list(entry["result"]) == list(JSON_TYPES)
    answers = [entry["result"] for entry in done.results]
    assert {name: type(value) for name, value in answers[0].items()} == {
        name: kind or type(None) for name, kind in JSON_TYPES.items()
    }
    assert answers[0]["ImportSyncRecordID"] == 981
    assert (answers[0]["SourceName"], answers[0]["Delete"]) == ("Grüße & <b>", False)
    assert (answers[1]["SourceName"], answers[1]["Delete"], answers[1]["ImportSyncRecordID"]) == ("", True, 1002)
    assert (answers[2]["SourceID"], answers[3]["SourceID"]) == ("", None)
    assert sandbox.stats().applied == {"S-1": 1, "S-2": 1, "": 2}


def test_several_inputs_are_told_apart(program: Program, sandbox: Sandbox) -> None:
    """With several inputs each result names its own, standard input and compressed files among them."""
    (program.directory / "one.ndjson").write_bytes(lines(record(1)))
    (program.directory / "two.gz").write_bytes(gzip.compress(lines(record(2))) + gzip.compress(lines(record(3))))
    (program.directory / "three.zst").write_bytes(zstd.compress(lines(record(4))) + zstd.compress(lines(record(5))))
    inputs = ("one.ndjson", "-", "two.gz", "three.zst")
    done = program.run(*inputs, "--endpoint", sandbox.url, given=lines(record(6)))
    assert done.code == 0
    assert sorted((entry["input"], entry["line"], entry["key"]) for entry in done.results) == [
        ("-", 1, "S-6"),
        ("one.ndjson", 1, "S-1"),
        ("three.zst", 1, "S-4"),
        ("three.zst", 2, "S-5"),
        ("two.gz", 1, "S-2"),
        ("two.gz", 2, "S-3"),
    ]
    assert all(list(entry)[:2] == ["line", "input"] for entry in done.results)


def test_a_retry_names_its_input(program: Program, start_sandbox: StartSandbox) -> None:
    """With several inputs a line number alone would send people to the wrong file, also where all ends well."""
    service = start_sandbox(faults={"deadlock": 0.3})
    for name, first in (("one.ndjson", 100), ("two.ndjson", 200)):
        (program.directory / name).write_bytes(lines(*(record(first + number) for number in range(20))))
    log = ("--log-level=debug", "--log-format=json", "--progress=off")
    done = program.run("one.ndjson", "two.ndjson", "--endpoint", service.url, "--max-attempts=40", *log)
    told = [json.loads(line) for line in done.err.splitlines()]
    retried = {(entry["input"], entry["line"]) for entry in told if entry["event"] == "retry_scheduled"}
    assert (done.code, done.outcomes) == (0, {"delivered": 40})
    assert {(entry["input"], entry["line"]) for entry in done.results if entry["attempts"] > 1} == retried
    assert len({name for name, _ in retried}) == 2


def test_compressed_standard_input(program: Program, sandbox: Sandbox) -> None:
    """A compressed stream is known by its first bytes; ``-`` is standard input; one input is not named."""
    arguments = ("-", "--endpoint", sandbox.url)
    for done in program.run_each((arguments, compress(many(3))) for compress in (gzip.compress, zstd.compress)):
        assert (done.code, done.outcomes) == (0, {"delivered": 3})
        assert all("input" not in entry for entry in done.results)


def test_no_record_at_all(program: Program) -> None:
    """An input without a record is a warning, not an error."""
    arguments = ("--endpoint", "http://127.0.0.1:9/xml")
    for done in program.run_each((arguments, given) for given in (b"", b"\n\r\n  \n", b"\xef\xbb\xbf")):
        assert (done.code, done.out) == (0, b"")
        assert "no record" in done.err


def test_skip_and_limit(program: Program, sandbox: Sandbox) -> None:
    """--skip and --limit count records, not lines; line numbers stay those of the input."""
    done = program.run("--endpoint", sandbox.url, "--skip=2", "--limit=3", given=many(7).replace(b"\n", b"\n\n"))
    assert [entry["line"] for entry in done.results] == [5, 7, 9]
    assert set(sandbox.stats().applied) == {"S-3", "S-4", "S-5"}


def test_order_keys(program: Program, sandbox: Sandbox) -> None:
    """Several order fields make an array of the key; records that share it arrive in input order, one at a time."""
    given = lines(*(record(number, SourceID="A", SourceType="T") for number in range(1, 9)))
    done = program.run("--endpoint", sandbox.url, "--order-by", "SourceType,SourceID", given=given)
    assert [entry["key"] for entry in done.results] == [["T", "A"]] * 8
    assert [entry["VeetroID"] for entry in sandbox.records] == list(range(1, 9))
    assert sandbox.stats().max_in_flight == 1


def test_results_come_while_the_input_is_still_open(program: Program, sandbox: Sandbox) -> None:
    """A record is delivered, and its result printed, before anything follows it in the pipe."""
    process = program.start("--endpoint", sandbox.url)
    assert process.stdin is not None
    assert process.stdout is not None
    for number in (1, 2):
        process.stdin.write(lines(record(number)))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["key"] == f"S-{number}"
    assert program.finish(process).code == 0


def test_rejects_and_results_files(program: Program, sandbox: Sandbox) -> None:
    """An existing results file is replaced; what is written is for its owner's eyes alone."""
    results, rejects, summary = (program.directory / name for name in ("results", "rejects", "summary"))
    results.write_text("old\n" * 1000)
    arguments = ("--results", results, "--rejects", rejects, "--summary", summary)
    done = program.run("--endpoint", sandbox.url, *arguments, given=many(2) + b"{}\n")
    assert (done.code, done.out) == (3, b"")
    assert [entry["outcome"] for entry in read_lines(results.read_bytes())] == ["delivered", "delivered", "invalid"]
    (reject,) = read_lines(rejects.read_bytes())
    assert (reject["line"], reject["record"]) == (3, {})
    assert [oct(path.stat().st_mode & 0o777) for path in (rejects, summary)] == ["0o600", "0o600"]
    assert program.run("--endpoint", sandbox.url, "--results", "new", given=many(1)).code == 0
    assert (program.directory / "new").stat().st_mode & 0o777 == 0o600


def test_from_a_shell(program: Program, sandbox: Sandbox) -> None:
    """``cat records.ndjson | veetro-batch --endpoint URL > results.ndjson``, as the README says it."""
    (program.directory / "records.ndjson").write_bytes(many(5))
    import shlex
    import subprocess

    line = f"cat records.ndjson | {shlex.join(COMMAND)} --endpoint {sandbox.url} > results.ndjson"
    done = subprocess.run(
        ["sh", "-c", line], cwd=program.directory, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert len(read_lines((program.directory / "results.ndjson").read_bytes())) == 5
