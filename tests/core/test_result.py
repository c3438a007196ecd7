from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.result import RAW_LIMIT, Result, describe
from batcher.core.verdict import Outcome, Problem
from tests.core.samples import quickly

DELIVERED = Result(
    line=1,
    outcome=Outcome.DELIVERED,
    key="S-1",
    attempts=1,
    seconds=0.10304,
    hash="96ad3bb4a2d666d3",
    fields=b'{"ImportSyncRecordID":981,"Source":null}',
    raw=b'{"SourceID":"S-1"}',
)
INVALID = Result(
    line=2,
    outcome=Outcome.INVALID,
    key="S-2",
    attempts=0,
    seconds=0.0,
    hash="00000000000000ff",
    problem=Problem("bad_datetime", "it is none", "RemoteTimeStamp"),
    raw=b'{ "SourceID" : "S-2" }',
)


def test_a_delivered_record_as_a_line() -> None:
    """The answer's fields stand as they are, seconds are rounded, and there is no error."""
    assert DELIVERED.to_json() == (
        b'{"line":1,"outcome":"delivered","key":"S-1","attempts":1,"seconds":0.103,"hash":"96ad3bb4a2d666d3",'
        b'"result":{"ImportSyncRecordID":981,"Source":null}}\n'
    )
    assert DELIVERED.answer == {"ImportSyncRecordID": 981, "Source": None}


def test_an_invalid_record_as_a_line() -> None:
    """The error names the field; what does not exist is left out."""
    assert INVALID.to_json() == (
        b'{"line":2,"outcome":"invalid","key":"S-2","attempts":0,"seconds":0.0,"hash":"00000000000000ff",'
        b'"error":{"kind":"bad_datetime","field":"RemoteTimeStamp","message":"it is none"}}\n'
    )
    assert INVALID.answer is None


def test_all_that_a_line_can_have() -> None:
    """Input, offset and mismatch only where they are; a key of several fields is an array."""
    full = DELIVERED._replace(input="b.ndjson", offset=0, mismatch=True, key=["S-1", 5, None])
    assert full.to_json() == (
        b'{"line":1,"input":"b.ndjson","offset":0,"outcome":"delivered","key":["S-1",5,null],"attempts":1,'
        b'"seconds":0.103,"hash":"96ad3bb4a2d666d3","mismatch":true,"result":{"ImportSyncRecordID":981,"Source":null}}\n'
    )


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (
            Problem("server_fault", "no", fault_code="Server", http_status=500),
            {"kind": "server_fault", "message": "no", "fault_code": "Server", "http_status": 500},
        ),
        (Problem("http_error", "no", http_status=400), {"kind": "http_error", "message": "no", "http_status": 400}),
        (Problem("client_fault", "no", fault_code=""), {"kind": "client_fault", "message": "no", "fault_code": ""}),
        (Problem("timeout", "no"), {"kind": "timeout", "message": "no"}),
    ],
)
def test_what_an_error_says(problem: Problem, error: dict[str, Any]) -> None:
    """Kind and message always, fault code and status where they exist."""
    assert describe(problem) == error


EURO = "€".encode()


@pytest.mark.parametrize(
    ("raw", "quoted"),
    [
        (b'{ "a" : 1.0 }', {"record": {"a": 1.0}}),
        (b'{"a":1,"a":2}', {"record": {"a": 2}}),
        (b"[1]", {"record": [1]}),
        (b"{", {"raw": "{"}),
        (b'{"a":NaN}', {"raw": '{"a":NaN}'}),
        (b'{"a":"\\ud800"}', {"raw": '{"a":"\\ud800"}'}),
        ('é"\x00\u2028'.encode(), {"raw": 'é"\x00\u2028'}),
        (b"\xff\xfe", {"raw_base64": base64.b64encode(b"\xff\xfe").decode()}),
        (b"abc\xc3", {"raw_base64": base64.b64encode(b"abc\xc3").decode()}),
        (b'"' + b"x" * (RAW_LIMIT - 2) + b'"', {"record": "x" * (RAW_LIMIT - 2)}),
        (b'"' + b"x" * (RAW_LIMIT - 1) + b'"', {"raw": '"' + "x" * (RAW_LIMIT - 1), "truncated": True}),
        *(
            (b"x" * (RAW_LIMIT - head) + EURO * 9, {"raw": "x" * (RAW_LIMIT - head) + "€" * whole, "truncated": True})
            for head, whole in ((0, 0), (1, 0), (2, 0), (3, 1), (4, 1))
        ),
        *(
            (b"x" * (RAW_LIMIT - head) + "😀".encode() * 9, {"raw": "x" * (RAW_LIMIT - head), "truncated": True})
            for head in (1, 2, 3)
        ),
        (
            b"\xff" + b"x" * RAW_LIMIT,
            {"raw_base64": base64.b64encode(b"\xff" + b"x" * (RAW_LIMIT - 1)).decode(), "truncated": True},
        ),
        (
            b"x" * (RAW_LIMIT - 1) + b"\xff\xff",
            {"raw_base64": base64.b64encode(b"x" * (RAW_LIMIT - 1) + b"\xff").decode(), "truncated": True},
        ),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "-",
)
def test_how_a_line_is_quoted(raw: bytes, quoted: dict[str, Any]) -> None:
    """As JSON, else as text, else as Base64; cut at 64 KiB, and never within a character."""
    line = INVALID._replace(raw=raw).to_reject()
    assert line.count(b"\n") == 1
    assert orjson.loads(line) == orjson.loads(INVALID.to_json()) | quoted


def test_a_record_is_quoted_byte_by_byte() -> None:
    """Its white space, the way its numbers are written and what it says twice are kept."""
    raw = b'{ "a" : 1.50e0 , "a":"\\u0041" }'
    assert INVALID._replace(raw=raw).to_reject().endswith(b',"record":' + raw + b"}\n")


def test_the_beginning_of_a_line_is_not_taken_for_the_whole() -> None:
    """A line that was too long to hold is told as cut, even where its beginning is JSON by chance."""
    line = INVALID._replace(raw=b"[1]", truncated=True).to_reject()
    assert orjson.loads(line)["raw"] == "[1]"
    assert orjson.loads(line)["truncated"] is True


@quickly
@given(
    line=st.integers(1, 2**53),
    key=st.one_of(st.none(), st.text(), st.integers(-(2**63), 2**63 - 1), st.lists(st.one_of(st.none(), st.text()))),
    seconds=st.floats(0, 1e9),
)
def test_the_quick_way_writes_what_the_slow_one_does(line: int, key: Any, seconds: float) -> None:
    """The line of a plain delivered record is the same as with a member more, that member aside."""
    result = DELIVERED._replace(line=line, key=key, seconds=seconds)
    settled = result._replace(settled="applied").to_json()
    assert result.to_json() == settled.replace(b',"settled":"applied"}', b"}")


@quickly
@given(raw=st.binary(max_size=60), text=st.text(max_size=60))
def test_any_line_can_be_quoted(raw: bytes, text: str) -> None:
    """Whatever a line holds, its reject is one line of JSON from which the line can be had again."""
    for given_line in (raw, text.encode(errors="replace")):
        line = INVALID._replace(raw=given_line).to_reject()
        assert line.find(b"\n") == len(line) - 1 or b"\n" in given_line
        quoted = orjson.loads(line)
        if "record" in quoted:
            assert quoted["record"] == orjson.loads(given_line)
        else:
            again = quoted["raw"].encode() if "raw" in quoted else base64.b64decode(quoted["raw_base64"])
            assert again == given_line
