"""Lines that cannot become a correct envelope: named, explained, kept, and never sent."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.program import Program, lines, read_lines, record

GOOD = lines(record(1)).rstrip(b"\n")


def without(name: str) -> bytes:
    return lines({field: value for field, value in record(1).items() if field != name}).rstrip(b"\n")


def changed(**fields: Any) -> bytes:
    return lines(record(1, **fields)).rstrip(b"\n")


BAD = (
    (b'{"SourceID":"S-1",', "malformed_json", None),
    (b"SourceID,VeetroID", "malformed_json", None),
    (GOOD + b" {}", "malformed_json", None),
    (GOOD.replace(b'"S-1"', b'"\\ud800"'), "malformed_json", None),
    (GOOD.replace(b'"S-1"', b'"\\udc00\\ud800"'), "malformed_json", None),
    (GOOD.replace(b'"VeetroID": 1', b'"VeetroID": NaN'), "malformed_json", None),
    (GOOD.replace(b'"S-1"', b'"S\x0b1"'), "malformed_json", None),
    (GOOD + b"\r" + GOOD, "malformed_json", None),
    (b"[" + GOOD + b"]", "not_an_object", None),
    (b"null", "not_an_object", None),
    (b'"text"', "not_an_object", None),
    (b"\xff\xfe{\x00}\x00", "not_utf8", None),
    (GOOD.replace(b"S-1", b"M\xfcller"), "not_utf8", None),
    (GOOD.replace(b"S-1", b"\xed\xa0\x80"), "not_utf8", None),
    (GOOD[:-1] + b', "VeetroID": 2}', "duplicate_field", "VeetroID"),
    (GOOD[:-1] + b', "VeetroID": 1}', "duplicate_field", "VeetroID"),
    (GOOD[:-1] + b', "Veetro\\u0049D": 1}', "duplicate_field", "VeetroID"),
    (changed(Sourceid="x"), "unknown_field", "Sourceid"),
    (changed(**{"": 1}), "unknown_field", ""),
    (without("VeetroID"), "missing_field", "VeetroID"),
    (without("RemoteTimeStamp"), "missing_field", "RemoteTimeStamp"),
    (changed(Delete=None), "missing_field", "Delete"),
    (b"{}", "missing_field", "ImportSyncRecordID"),
    (changed(VeetroID="1"), "wrong_type", "VeetroID"),
    (changed(VeetroID=1.0), "wrong_type", "VeetroID"),
    (changed(VeetroID=True), "wrong_type", "VeetroID"),
    (changed(Delete="false"), "wrong_type", "Delete"),
    (changed(Delete=0), "wrong_type", "Delete"),
    (changed(SourceName=7), "wrong_type", "SourceName"),
    (changed(SourceName=["a"]), "wrong_type", "SourceName"),
    (changed(ApplyValues={"a": 1}), "wrong_type", "ApplyValues"),
    (changed(RemoteTimeStamp=1717147800), "wrong_type", "RemoteTimeStamp"),
    (changed(CurrentStatus=2), "wrong_type", "CurrentStatus"),
    (changed(VeetroID=2**31), "out_of_range", "VeetroID"),
    (changed(VeetroID=-(2**31) - 1), "out_of_range", "VeetroID"),
    (changed(VeetroID=10**30), "out_of_range", "VeetroID"),
    (changed(RemoteTimeStamp="2023-02-29T00:00:00Z"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="2024-05-31"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="2024-05-31 09:30:00"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="2024-05-31T24:00:00"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="2024-05-31T09:30"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="2024-05-31T09:30:00z"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="2024-05-31T09:30:00+1:00"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="2024-05-31T09:30:00Z\n"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="0001-01-01T00:00:00+01:00"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp="٢٠٢٤-05-31T09:30:00Z"), "bad_datetime", "RemoteTimeStamp"),
    (changed(RemoteTimeStamp=""), "bad_datetime", "RemoteTimeStamp"),
    (changed(CurrentStatus="completed"), "bad_enum", "CurrentStatus"),
    (changed(CurrentStatus=" NA"), "bad_enum", "CurrentStatus"),
    (changed(SourceName="a\x00b"), "illegal_character", "SourceName"),
    (changed(SourceName="a\uffff"), "illegal_character", "SourceName"),
    (changed(SourceName="\x1b[31m"), "illegal_character", "SourceName"),
    (changed(SourceName="x" * 50_000), "line_too_long", None),
    (b'"' + b"x" * 50_000, "line_too_long", None),
)


@pytest.mark.parametrize("command", [(), ("check",)])
def test_each_kind(program: Program, sandbox: Sandbox, command: tuple[str, ...]) -> None:
    """Every bad line has its kind, its field and a message; it is not sent, and the good ones around it are."""
    text = b"".join(bad + b"\n" + lines(record(number)) for number, (bad, _, _) in enumerate(BAD, 2))
    endpoint = () if command else ("--endpoint", sandbox.url)
    done = program.run(*command, *endpoint, "--max-line-bytes=50000", given=text)
    assert done.code == 3
    told = {entry["line"]: entry for entry in done.results if entry["outcome"] == "invalid"}
    expected = {2 * at + 1: (kind, field) for at, (_, kind, field) in enumerate(BAD)}
    assert {line: (entry["error"]["kind"], entry["error"].get("field")) for line, entry in told.items()} == expected
    for entry in told.values():
        assert (entry["attempts"], entry["seconds"], list(entry["error"])[-1]) == (0, 0.0, "message")
        assert len(entry["error"]["message"]) > 10
        assert entry["error"]["message"].isprintable()
    if command:
        assert len(done.results) == len(BAD)
        assert sandbox.stats().requests == 0
    else:
        assert done.outcomes == {"invalid": len(BAD), "delivered": len(BAD)}
        assert sandbox.stats().applied == {f"S-{number}": 1 for number in range(2, len(BAD) + 2)}


def test_messages_help(program: Program) -> None:
    """A message says what would be right: the meant field or member, the character's code point, the limits."""
    bad = [
        changed(SourceId="x"),
        changed(CurrentStatus="completed"),
        changed(SourceName="a\x0b"),
        changed(Retried=2**31),
    ]
    done = program.run("check", given=b"\n".join(bad))
    said = [entry["error"]["message"] for entry in done.results]
    for message, hint in zip(said, ("SourceID", "Completed", "U+000B", "2147483647"), strict=True):
        assert hint in message
    assert [entry["key"] for entry in done.results] == ["S-1"] * 4


def test_defaults_fill_what_is_missing(program: Program, sandbox: Sandbox) -> None:
    """--default gives a field that a record lacks its value, on the command line and in the TOML file."""
    (program.directory / "c.toml").write_text("[defaults]\nRetried = 3\nSourceName = 'from file'\n")
    options = ("--config=c.toml", "--default", "VeetroID=5", "--default", "SourceName=a=b")
    given = without("VeetroID") + b"\n" + without("Retried")
    done = program.run("--endpoint", sandbox.url, *options, given=given)
    assert (done.code, done.err.count("warning")) == (0, 0)
    answers = [entry["result"] for entry in done.results]
    assert [(answer["VeetroID"], answer["Retried"], answer["SourceName"]) for answer in answers] == [
        (5, 0, "a=b"),
        (1, 3, "a=b"),
    ]


def test_rejects_hold_the_line_itself(program: Program) -> None:
    """A rejects line has the record where it is JSON, the text where it is not, else base64, cut at 64 KiB."""
    cut = 64 * 1024
    given: list[tuple[bytes, Callable[[bytes], dict[str, object]]]] = [
        (b'{"VeetroID": 1e2, "x":  [1]}', lambda raw: {"record": {"VeetroID": 100.0, "x": [1]}}),
        (b"null", lambda raw: {"record": None}),
        (b"not json \xe2\x82\xac", lambda raw: {"raw": raw.decode()}),
        (b"\xff\x00", lambda raw: {"raw_base64": b"\xff\x00"}),
        (changed(SourceName="x" * cut, VeetroID="no"), lambda raw: {"raw": raw[:cut].decode(), "truncated": True}),
        (b"y" * 200_000, lambda raw: {"raw": "y" * cut, "truncated": True}),
        (b"xx" + "€".encode() * cut, lambda raw: {"raw": raw[: cut - 2].decode(), "truncated": True}),
        (b"\xff" * 200_000, lambda raw: {"raw_base64": b"\xff" * cut, "truncated": True}),
    ]
    text = b"\n".join(raw for raw, _ in given)
    program.run("check", "--results=none", "--rejects=rejects", "--max-line-bytes=199k", given=text)
    rejects = read_lines((program.directory / "rejects").read_bytes())
    for entry, (raw, expected) in zip(rejects, given, strict=True):
        told = {name: entry[name] for name in ("record", "raw", "raw_base64", "truncated") if name in entry}
        if "raw_base64" in told:
            told["raw_base64"] = b64decode(told["raw_base64"], validate=True)
        assert told == expected(raw)
    assert b'"record":' + given[0][0] in (program.directory / "rejects").read_bytes()


def test_check_says_what_is_right_too(program: Program) -> None:
    """The command check prints nothing but the lines of invalid records, and counts both on standard error."""
    done = program.run("check", given=lines(record(1), record(2)))
    assert (done.code, done.out) == (0, b"")
    assert "2 records" in done.err
    bad = program.run("check", given=lines(record(1), {}))
    assert (bad.code, [entry["line"] for entry in bad.results]) == (3, [2])
    assert json.loads(bad.out)["outcome"] == "invalid"
