"""Made-up records are realistic: valid but for the few that are meant to be bad."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from xml.sax.saxutils import escape

from batcher.sandbox import Sandbox, sample_records
from batcher.sandbox.fields import FIELDS

Envelope = Callable[..., str]
Post = Callable[..., Awaitable[tuple[int, dict[str, str], str]]]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return record


def _xml(value: object) -> str:
    return escape(str(value).lower() if isinstance(value, bool) else str(value), {"\r": "&#xD;"})


async def test_good_lines_arrive_as_they_are(sandbox: Sandbox, post: Post, envelope: Envelope) -> None:
    """The service stores every field of a good line with the very value of the line."""
    for line in sample_records(150, seed=3, bad_share=0.0):
        record = json.loads(line)
        fields = "".join(f"<{name}>{_xml(value)}</{name}>" for name, value in record.items() if value is not None)
        status, _, _ = await post(sandbox, envelope(fields))
        stored = sandbox.records[-1]
        if record["ImportSyncRecordID"] == 0:
            record["ImportSyncRecordID"] = stored["ImportSyncRecordID"]
        for name, kind in FIELDS.items():
            if kind == "dateTime" and "." in record[name]:
                record[name] = record[name].rstrip("Z").rstrip("0") + "Z"
        assert (status, stored) == (200, record)


def test_lines_are_records_in_the_services_order() -> None:
    """Every line ends in LF and holds the 21 fields in order; most update, some create; SourceIDs mostly differ."""
    lines = list(sample_records(2000, bad_share=0.0))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    records = [json.loads(line) for line in lines]
    assert {tuple(record) for record in records} == {tuple(FIELDS)}
    creates = sum(record["ImportSyncRecordID"] == 0 for record in records)
    assert 50 < creates < 400
    assert 1900 < len({record["SourceID"] for record in records}) < 2000


def test_bad_lines_are_few_and_of_different_kinds() -> None:
    """Each kind of mistake is there, in about the share that was asked for."""
    good = tuple(FIELDS)
    kinds = {"broken": 0, "misspelt": 0, "missing": 0, "date": 0, "int": 0, "enum": 0}
    for line in sample_records(5000, seed=1, bad_share=0.02):
        record = _parsed(line)
        kinds["broken"] += record is None
        if record is not None:
            kinds["misspelt"] += "SourceId" in record
            kinds["missing"] += "SourceId" not in record and tuple(record) != good
            kinds["date"] += record["RemoteTimeStamp"].startswith("2023-02-29")
            kinds["int"] += record.get("VeetroID") == "n/a"
            kinds["enum"] += record["CurrentStatus"] == "completed"
    assert all(count > 0 for count in kinds.values())
    assert 60 < sum(kinds.values()) < 150


def test_the_same_seed_gives_the_same_lines() -> None:
    """And another seed gives others."""
    assert list(sample_records(50, seed=5)) == list(sample_records(50, seed=5))
    assert list(sample_records(50, seed=5)) != list(sample_records(50, seed=6))
