"""A rejects line read back gives the record's own bytes, and what had come of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.reject import digest, read_reject
from batcher.core.result import RAW_LIMIT, Origin, Result
from batcher.core.verdict import Outcome, Problem

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("record"), inner, max_size=3),
    max_leaves=8,
)
spaced = st.builds(lambda value, indent: json.dumps(value, indent=indent).replace("\n", " "), values, st.integers(0, 3))
raws = spaced.map(str.encode) | st.binary().map(lambda raw: raw.replace(b"\n", b"")) | st.text().map(str.encode)


def rejected(raw: bytes, message: str = "no", **members: object) -> Result:
    return Result(
        line=7,
        outcome=Outcome.REJECTED,
        key="S-1",
        attempts=2,
        seconds=0.5,
        hash=digest(raw),
        problem=Problem("client_fault", message),
        raw=raw,
        **members,  # type: ignore[arg-type] # whatever a test says
    )


@given(raws, st.text())
def test_the_records_own_bytes(raw: bytes, message: str) -> None:
    """Whatever the line was, and whatever the service said of it, not a byte of it is lost or another."""
    line = rejected(raw, message, input='a "record":{} of mine').to_reject().removesuffix(b"\n")
    found = read_reject(line)
    assert (found.raw, found.truncated, found.is_original) == (raw, False, True)
    assert (found.hash, found.key) == (digest(raw), b'"S-1"')
    assert found.origin == Origin(7, Outcome.REJECTED, "client_fault", message, 2, 'a "record":{} of mine')


@pytest.mark.parametrize("raw", [b'{"a":"%s"}' % (b"x" * RAW_LIMIT), b"\xff" * (RAW_LIMIT + 1)])
def test_a_record_that_is_not_whole(raw: bytes) -> None:
    """What was cut off is known to be missing."""
    found = read_reject(rejected(raw).to_reject().removesuffix(b"\n"))
    assert found.truncated
    assert not found.is_original
    assert raw.startswith(found.raw)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_line_written_anew(indent: int | None) -> None:
    """Corrected by hand, with other spaces or members in another order: the record is taken as it stands there."""
    members = json.loads(rejected(b'{"SourceID":"S-1","a":1}').to_reject())
    corrected = {"record": {"SourceID": "S-2", "a": "}"}} | {
        name: members[name] for name in members if name != "record"
    }
    found = read_reject(json.dumps(corrected, indent=indent).replace("\n", " ").encode())
    assert json.loads(found.raw) == {"SourceID": "S-2", "a": "}"}
    assert not found.is_original
    assert found.origin.line == 7


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no",
        b"[]",
        b"{}",
        b'{"record":{}}',
        rejected(b"{}").to_json(),
        rejected(b"{}").to_reject().replace(b'"rejected"', b'"delivered"'),
        rejected(b"{}").to_reject().replace(b'"line":7', b'"line":"7"'),
        rejected(b"\xff").to_reject().replace(b'"raw_base64":"', b'"raw_base64":"!'),
    ],
)
def test_what_is_no_rejects_line(line: bytes) -> None:
    """It is told, and nothing is made up."""
    with pytest.raises(ValueError, match="no line of a rejects file"):
        read_reject(line.removesuffix(b"\n"))
