import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.asmx.expected import FIELDS, as_received
from tests.asmx.odd_envelopes import ROUTE, XML11, record
from tests.asmx.server import TIMEOUT_S, AsmxService
from tests.data import make_records

RECORDS = Path(make_records.__file__).with_name("records.ndjson")
THREADS = 64


def read_records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDS.read_bytes().split(b"\n")[:-1]]


def write(given: dict[str, Any]) -> bytes:
    """The plainest right envelope: every field in the operation's order, a null string left out, CR by reference."""
    leaves = []
    for name in FIELDS:
        value = given.get(name)
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else escape(str(value), {"\r": "&#13;"})
            leaves.append(f"<{name}>{text}</{name}>")
    return record("".join(leaves)).encode()


def test_file_is_the_script_s_output() -> None:
    """`records.ndjson` is what `make_records.py` writes."""
    lines = [make_records.line(number, given) for number, given in enumerate(make_records.records(), 1)]
    assert RECORDS.read_bytes() == "".join(f"{line}\n" for line in lines).encode()


def test_records_cover_what_they_promise() -> None:
    """The file's records have unique keys, all value fields, and every special text and date at least once."""
    records = read_records()
    strings = {given.get(name) for given in records for name in make_records.STRINGS}
    dates = {given[name] for given in records for name in make_records.DATES}
    assert len({given["SourceID"] for given in records}) == len(records) == 1000
    assert all(given[name] is not None for given in records for name, kind in FIELDS.items() if kind != "string")
    assert strings >= {*make_records.SPECIAL, None, make_records.LONG}
    assert dates >= set(make_records.DAYS)


def test_records_arrive_as_they_are(asmx: AsmxService) -> None:
    """Every field of every record reaches the service exactly, with 64 connections kept alive at once."""
    asmx.reset()
    records = read_records()

    def send(share: list[dict[str, Any]]) -> list[int]:
        statuses = []
        with closing(http.client.HTTPConnection(asmx.host, asmx.port, timeout=TIMEOUT_S)) as connection:
            for given in share:
                connection.request("POST", "/xml", write(given), dict((XML11, ROUTE)))
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
        return statuses

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = [
            status for share in pool.map(send, (records[n::THREADS] for n in range(THREADS))) for status in share
        ]
    received = {seen["SourceID"]: seen for seen in asmx.received()}
    assert statuses == [200] * len(records)
    assert received == {given["SourceID"]: as_received(given) for given in records}
