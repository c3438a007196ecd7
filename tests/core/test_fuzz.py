"""Whatever comes in from outside, the rules of the core have an answer and never raise.

``HYPOTHESIS_PROFILE=deep`` tries many times more.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree
from multidict import CIMultiDict

from batcher.core.answer import Matcher
from batcher.core.record import RecordReader
from batcher.core.reply import Judge, retry_after
from batcher.core.result import Result
from batcher.core.soap import SOAP_11, SOAP_12, Soap
from batcher.core.template import Template
from batcher.core.verdict import (
    IN_DOUBT_KINDS,
    INVALID_KINDS,
    REJECTED_KINDS,
    UNSENT_KINDS,
    Outcome,
    Problem,
    Verdict,
)
from batcher.errors import RecordError
from tests.core.answers import KEY, MATCHER, by_tree
from tests.core.samples import FIELDS, SET_RECORD, VALID, answer, as_text, fault, records, texts

often = settings(max_examples=20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 150, deadline=None)

JUDGE = Judge(MATCHER, re.compile("session|log ?in", re.IGNORECASE), re.compile("deadlock", re.IGNORECASE))
MATCHERS = {soap.version: Matcher(SET_RECORD, soap, KEY) for soap in (SOAP_11, SOAP_12)}
READER = RecordReader(Template(SET_RECORD, SOAP_11), ("SourceID",))
KINDS = {
    Outcome.REJECTED: REJECTED_KINDS,
    Outcome.IN_DOUBT: IN_DOUBT_KINDS,
    Outcome.UNSENT: UNSENT_KINDS,
    Outcome.INVALID: INVALID_KINDS,
}

any_text = st.text(max_size=30) | texts
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | any_text
    | st.sampled_from(
        ["0001-01-01T00:00:00", "9999-12-31T23:59:59Z", "2024-02-30T00:00:00Z", "NA", "inProgress", " NA"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*FIELDS, "sourceid", "Veetro ID", ""]) | any_text
changed_records = st.builds(
    lambda values, changes, without: {name: value for name, value in (values | changes).items() if name not in without},
    records,
    st.dictionaries(names, any_json, max_size=3),
    st.sets(st.sampled_from(list(FIELDS)), max_size=1),
)
PIECES = [
    *(b"", b"<", b">", b"&", b"&lt;", b"&#xB;", b"&#x110000;", b"]]>", b"<!--", b"-->", b"<![CDATA[", b"<?x?>", b"\0"),
    *(b' xsi:nil="true"', b"<x/>", b"<!DOCTYPE a>", b"\xef\xbb\xbf", b"\r\n", b"\xff", b"\xed\xa0\x80"),
    *(b"\xf4\x8f\xbc\x80", b"soap:", b"<soap:Fault>", b"</soap:Body>", b"<VeetroID>7</VeetroID>", b"<Source />"),
    *(b"true", b"1e5", b"-0"),
]
edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 40),
        st.sampled_from(PIECES),
    ),
    max_size=6,
)


def mutated(body: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """*body* with pieces of it replaced: where (a share of its length), how many bytes, by what."""
    for share, size, piece in changes:
        start = int(share * len(body))
        body = body[:start] + piece + body[start + size :]
    return body


def check_invalid(error: RecordError) -> None:
    """Its kind is of the closed set, and it can be written."""
    assert error.kind in INVALID_KINDS
    problem = Problem(error.kind, error.message, error.field)
    assert orjson.loads(Result(1, Outcome.INVALID, None, 0, 0.0, "", problem=problem).to_json())["line"] == 1


def check_judged(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """It means something, in words of the closed sets."""
    judged = JUDGE.judge(status, CIMultiDict(headers), body, 1.7e9)
    assert judged.verdict in set(Verdict) - {Verdict.NOT_SENT}
    if judged.verdict is Verdict.ACCEPTED:
        assert isinstance(orjson.loads(judged.result), dict)
        assert len(judged.key) == len(KEY)
    else:
        assert judged.problem is not None
        assert judged.problem.kind in {*REJECTED_KINDS, *IN_DOUBT_KINDS}
        assert "\n" not in judged.problem.message
        assert len(judged.problem.message) < 2000


@often
@given(values=changed_records, ascii_only=st.booleans(), spaced=st.booleans())
def test_any_object_is_a_record_that_reads_back_or_invalid(
    values: dict[str, Any], *, ascii_only: bool, spaced: bool
) -> None:
    """An error has a kind of the closed set; an envelope holds each value as it was given."""
    raw = json.dumps(values, ensure_ascii=ascii_only, indent=1 if spaced else None).encode(errors="surrogatepass")
    try:
        record = READER.read(raw)
    except RecordError as error:
        check_invalid(error)
        return
    given_back = etree.fromstring(record.envelope)[0][0][0]
    found = {etree.QName(element).localname: element.text or "" for element in given_back}
    assert found == {name: as_text(value) for name, value in values.items() if value is not None}
    assert record.safe == (values["ImportSyncRecordID"] != 0)


@often
@given(raw=st.binary(max_size=80) | st.builds(mutated, st.just(orjson.dumps(VALID)), edits))
def test_any_line_is_a_record_or_invalid(raw: bytes) -> None:
    """Bytes of any kind, and valid lines with damage of any kind."""
    try:
        READER.read(raw)
    except RecordError as error:
        check_invalid(error)


@often
@given(changes=edits, soap=st.sampled_from([SOAP_11, SOAP_12]), status=st.sampled_from([200, 500]))
def test_a_damaged_answer_means_the_same_by_both_ways(
    changes: list[tuple[float, int, bytes]], soap: Soap, status: int
) -> None:
    """The expression finds what the parser finds, or leaves it to the parser; and it is judged."""
    body = mutated(answer(VALID, soap), changes)
    matched = MATCHERS[soap.version].match(body)
    assert matched in {None, by_tree(body, MATCHERS[soap.version])}
    check_judged(status, {"Content-Type": "text/xml"}, body)


@often
@given(
    status=st.integers(100, 999),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "Retry-After", "Location", "X"]), st.text(max_size=30), max_size=3
    ),
    body=st.binary(max_size=200) | st.builds(mutated, st.just(fault(SOAP_12, "Receiver", "Deadlock, log in")), edits),
)
def test_any_answer_is_judged(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever status, headers and body."""
    check_judged(status, headers, body)


@often
@given(value=st.text(max_size=40) | st.from_regex(r"(Mon|Xyz), \d{1,3} [A-Z][a-z]{2} \d{1,5} \d\d:\d\d:\d\d GMT"))
@example("Fri, 31 Dec 9999 23:59:59 GMT")
@example("9" * 9)
@example("Sat, 01 Jan 0000 00:00:00 GMT")
def test_retry_after_is_a_bounded_time_or_nothing(value: str) -> None:
    """Never negative, never infinite."""
    wait = retry_after(CIMultiDict({"Retry-After": value}), 1.7e9)
    assert wait is None or (wait >= 0 and math.isfinite(wait))


@often
@given(
    outcome=st.sampled_from(Outcome),
    key=st.none() | any_text | st.lists(st.none() | st.integers(-(2**31), 2**31) | any_text, max_size=3),
    texts=st.tuples(any_text, any_text),
    raw=st.binary(max_size=60) | st.builds(mutated, st.just(orjson.dumps(VALID)), edits),
    truncated=st.booleans(),
)
def test_a_result_line_is_always_one_line_of_json(
    outcome: Outcome, key: Any, texts: tuple[str, str], raw: bytes, *, truncated: bool
) -> None:
    """For results and for rejects, whatever the record and the service's words hold."""
    problem = Problem(KINDS.get(outcome, ("",))[0], texts[0], texts[1], texts[1], 500)
    raw = raw.replace(b"\n", b"")  # a line holds none
    result = Result(1, outcome, key, 1, 0.1, "00", problem=problem, input=texts[0], raw=raw, truncated=truncated)
    for line in (result.to_json(), result.to_reject()):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert orjson.loads(line)["line"] == 1
