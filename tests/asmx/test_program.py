"""The program against the real service: what arrives there is what the records say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.asmx.expected import as_received
from tests.asmx.server import PASSWORD, AsmxService
from tests.data import make_records
from tests.e2e.program import Program, lines, record

RECORDS = Path(make_records.__file__).with_name("records.ndjson")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    started = Program(tmp_path)
    yield started
    started.close()


@pytest.fixture(autouse=True)
def nothing_received(asmx: AsmxService) -> None:
    asmx.reset()


@pytest.mark.parametrize("soap", ["1.1", "1.2"])
def test_every_field_of_every_record(asmx: AsmxService, program: Program, soap: str) -> None:
    """1,000 records of every kind of text, number and date arrive exactly, and the answers' ids are in the results."""
    text = RECORDS.read_bytes()
    given = [json.loads(line) for line in text.split(b"\n")[:-1]]
    done = program.run("--endpoint", asmx.url, "--soap", soap, given=text)
    assert (done.code, done.outcomes) == (0, {"delivered": len(given)})
    received = {seen["SourceID"]: seen for seen in asmx.received()}
    assert len(asmx.received()) == len(given)
    assert received == {values["SourceID"]: as_received(values) for values in given}
    results = done.results
    assert [entry["line"] for entry in results] == list(range(1, len(given) + 1))
    assert {entry["attempts"] for entry in results} == {1}
    created = [entry["result"]["ImportSyncRecordID"] for entry, values in _pairs(results, given, new=True)]
    assert len(set(created)) == len(created) > 0
    assert min(created) > 1_000_000
    for entry, values in _pairs(results, given, new=False):
        assert entry["result"]["ImportSyncRecordID"] == values["ImportSyncRecordID"]
    for entry, values in zip(results, given, strict=True):
        assert "mismatch" not in entry
        assert entry["key"] == values["SourceID"]
        for name in ("VeetroID", "Delete", "CurrentStatus", "Retried"):
            assert entry["result"][name] == values[name]
        for name in make_records.STRINGS:
            assert plain(entry["result"][name]) == plain(values.get(name))


def _pairs(
    results: list[dict[str, Any]], given: list[dict[str, Any]], *, new: bool
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for entry, values in zip(results, given, strict=True):
        if (values["ImportSyncRecordID"] == 0) is new:
            yield entry, values


def plain(text: str | None) -> str | None:
    """As it reads in an answer, in which the service does not write a CR as a reference."""
    return None if text is None else text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("soap", ["1.1", "1.2"])
def test_faults(asmx: AsmxService, program: Program, soap: str) -> None:
    """A method's exception rejects the record, sent again only where that is safe; a strange good answer delivers."""
    wishes = ("!throw", "!custom-fault", "!control-character", "!save-then-throw")
    new = [record(0, SourceID=wish, ImportSyncRecordID=0, ErrorMsg="as it was") for wish in wishes]
    safe = [record(1, SourceID="!throw")]
    done = program.run("--endpoint", asmx.url, "--soap", soap, "--max-attempts=2", given=lines(*new, record(5), *safe))
    assert done.code == 3
    told = [(entry["outcome"], entry["attempts"], entry.get("error", {}).get("kind")) for entry in done.results]
    assert told == [
        ("rejected", 1, "server_fault"),
        ("rejected", 1, "server_fault"),
        ("delivered", 1, None),
        ("rejected", 1, "server_fault"),
        ("delivered", 1, None),
        ("rejected", 2, "server_fault"),
    ]
    errors = [entry.get("error", {}) for entry in done.results]
    assert [errors[at]["http_status"] for at in (0, 1, 3)] == [500] * 3
    assert (errors[0]["fault_code"], errors[1]["fault_code"]) == (
        "Server" if soap == "1.1" else "Receiver",
        "Custom.Code",
    )
    assert "as it was" in errors[0]["message"]
    assert "a custom fault" in errors[1]["message"]
    assert done.results[2]["result"]["ErrorMsg"] == "before\x0bafter\x01"
    assert [seen["SourceID"] for seen in asmx.received()].count("!save-then-throw") == 1


def test_login(asmx: AsmxService, program: Program) -> None:
    """The real login's session key is on every call."""
    environ = {"VEETRO_BATCH_PASSWORD": PASSWORD}
    for soap in ("1.1", "1.2"):
        asmx.reset()
        done = program.run(
            "--endpoint",
            asmx.url,
            "--email=ann@example.org",
            "--soap",
            soap,
            given=lines(record(1), record(2)),
            environ=environ,
        )
        assert (done.code, done.outcomes) == (0, {"delivered": 2})
        assert {call.session for call in asmx.calls()} == {"session-of-ann@example.org"}


def test_wrong_password(asmx: AsmxService, program: Program) -> None:
    """A refused login ends the run with 7; the service receives no record."""
    environ = {"VEETRO_BATCH_PASSWORD": "wrong"}
    done = program.run("--endpoint", asmx.url, "--email=ann@example.org", given=lines(record(1)), environ=environ)
    assert (done.code, done.outcomes) == (7, {"unsent": 1})
    assert "Not_Found" in done.err
    assert asmx.calls() == []
