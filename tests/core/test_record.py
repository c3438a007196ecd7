from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.record import Record, RecordReader, key_as_json, parse_exactly
from batcher.core.soap import SOAP_11
from batcher.core.template import Template
from batcher.errors import RecordError, SettingsError
from tests.core.samples import FIELDS, SET_RECORD, VALID, line, quickly, record, records

READER = RecordReader(Template(SET_RECORD, SOAP_11), ("SourceID",))
VALID_LINE = line(VALID)


def refused(raw: bytes, reader: RecordReader = READER) -> RecordError:
    with pytest.raises(RecordError) as caught:
        reader.read(raw)
    return caught.value


def with_member(member: bytes) -> bytes:
    """A valid line with one member more, as it is written."""
    return VALID_LINE[:-1] + b"," + member + b"}"


def in_place_of(name: str, value: bytes) -> bytes:
    """A valid line with *value*, as it is written, for the field called *name*."""
    return line(record(name))[:-1] + b',"' + name.encode() + b'":' + value + b"}"


@pytest.mark.parametrize(
    ("raw", "kind", "field", "message"),
    [
        (b'{"Source":"\xff"}', "not_utf8", None, "byte 12 is not UTF-8"),
        (b'{"Source":"\xed\xa0\x80"}', "not_utf8", None, "byte 12 is not UTF-8"),
        (b'{"Source":"caf\xe9"', "not_utf8", None, "byte 15 is not UTF-8"),
        (b"", "malformed_json", None, "no JSON"),
        (b"{", "malformed_json", None, "no JSON: unexpected end of data at character 2"),
        ('{"é":"é" x}'.encode(), "malformed_json", None, "at character 10"),
        (VALID_LINE + VALID_LINE, "malformed_json", None, f"at character {len(VALID_LINE) + 1}"),
        (b"\xef\xbb\xbf" + VALID_LINE, "malformed_json", None, "at character 1"),
        (VALID_LINE + b"\0", "malformed_json", None, f"at character {len(VALID_LINE) + 1}"),
        (b"{'Source':1}", "malformed_json", None, "at character 2"),
        (VALID_LINE[:-1] + b",}", "malformed_json", None, "no JSON"),
        (in_place_of("Source", b'"a\tb"'), "malformed_json", None, "no JSON"),
        (in_place_of("Source", b'"\\ud800"'), "malformed_json", None, "no JSON"),
        (in_place_of("Source", b'"\\udc00\\ud800"'), "malformed_json", None, "no JSON"),
        (in_place_of("Retried", b"NaN"), "malformed_json", None, "no JSON"),
        (in_place_of("Retried", b"-Infinity"), "malformed_json", None, "no JSON"),
        (in_place_of("Retried", b"01"), "malformed_json", None, "no JSON"),
        (in_place_of("Retried", b"+1"), "malformed_json", None, "no JSON"),
        (b"[" * 100_000, "malformed_json", None, "no JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "malformed_json", None, "no JSON"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "malformed_json", None, "no JSON"),
        (in_place_of("Source", b"[" * 1020 + b"]" * 1020), "malformed_json", None, "its values are nested too deep"),
        (b"[]", "not_an_object", None, "JSON but no object"),
        (b"[" + VALID_LINE + b"]", "not_an_object", None, "JSON but no object"),
        (b"null", "not_an_object", None, "JSON but no object"),
        (b'"text"', "not_an_object", None, "JSON but no object"),
        (b"1", "not_an_object", None, "JSON but no object"),
        (with_member(b'"Source":"Outlook"'), "duplicate_field", "Source", "stands twice"),
        (with_member(b'"S\\u006furce":"Outlook"'), "duplicate_field", "Source", "stands twice"),
        (with_member(b'"Delete":false'), "duplicate_field", "Delete", "stands twice"),
        (with_member(b'"ErrorMsg":null'), "duplicate_field", "ErrorMsg", "stands twice"),
        (with_member(b'"Retried":"x"'), "duplicate_field", "Retried", "stands twice"),
        (with_member(b'"No":1,"No":1'), "duplicate_field", "No", "stands twice"),
        (b"{" + b'"%b":1,' % (b"x" * 300) + b'"%b":1}' % (b"x" * 300), "duplicate_field", "x" * 200, "stands twice"),
        (with_member(b'"Sourse":1'), "unknown_field", "Sourse", "did you mean Source?"),
        (with_member(b'"source":1'), "unknown_field", "source", "did you mean Source?"),
        (b"{}", "missing_field", "ImportSyncRecordID", "is missing"),
        (line(record("CurrentStatus")), "missing_field", "CurrentStatus", "is missing"),
        (line(record(Delete=None)), "missing_field", "Delete", "is null"),
        (in_place_of("Retried", b"5.0"), "wrong_type", "Retried", "must be a whole number, not 5.0"),
        (in_place_of("Retried", b"1e3"), "wrong_type", "Retried", "must be a whole number, not 1000.0"),
        (in_place_of("Retried", b'"5"'), "wrong_type", "Retried", 'must be a whole number, not "5"'),
        (in_place_of("Retried", b"true"), "wrong_type", "Retried", "must be a whole number, not true"),
        (in_place_of("Retried", b"{}"), "wrong_type", "Retried", "must be a whole number, not an object"),
        (in_place_of("Source", b'["a"]'), "wrong_type", "Source", "must be a string, not an array"),
        (in_place_of("Retried", b"2147483648"), "out_of_range", "Retried", "2147483648 is not within"),
        (in_place_of("Retried", b"18446744073709551616"), "out_of_range", "Retried", "18446744073709551616 is not"),
        (in_place_of("Retried", b"9" * 9000), "malformed_json", None, "no JSON: number is infinity"),
        (in_place_of("Retried", b"-" + b"9" * 300), "out_of_range", "Retried", f"-{'9' * 59}… is not within"),
        (line(record(RemoteTimeStamp="2023-02-29T00:00:00")), "bad_datetime", "RemoteTimeStamp", "no day of the cal"),
        (line(record(CurrentStatus="Done")), "bad_enum", "CurrentStatus", '"Done" is none of'),
        (in_place_of("SourceID", b'"a\\u0000"'), "illegal_character", "SourceID", "character 2 is U+0000"),
        (in_place_of("SourceID", b'"\\f"'), "illegal_character", "SourceID", "character 1 is U+000C"),
        (line(record(SourceID="\uffff")), "illegal_character", "SourceID", "character 1 is U+FFFF"),
        (line(record(Source="x" * 5_000_000)), "envelope_too_large", None, "over 4194304 (4096 KiB)"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value[:40]) if value else "-",
)
def test_a_line_that_is_no_record(raw: bytes, kind: str, field: str | None, message: str) -> None:
    """Each kind of invalid line has its kind, its field and a message for people."""
    found = refused(raw)
    assert (found.kind, found.field) == (kind, field)
    assert message in found.message
    assert found.message.isprintable(), "one line, safe to show"


def test_the_order_of_the_checks() -> None:
    """Of several faults the first is told: encoding, JSON, object, twice, unknown, then the sample's order."""
    faults = [
        (b'{"VeetroID":1,"VeetroID":1,"No":1}\xff', "not_utf8"),
        (b'{"VeetroID":1,"VeetroID":1,"No":1}}', "malformed_json"),
        (b'[{"VeetroID":1,"VeetroID":1,"No":1}]', "not_an_object"),
        (b'{"VeetroID":1,"VeetroID":1,"No":1}', "duplicate_field"),
        (b'{"VeetroID":"1","No":1}', "unknown_field"),
        (b'{"VeetroID":"1"}', "missing_field"),
        (b'{"ImportSyncRecordID":1,"VeetroID":"1"}', "wrong_type"),
    ]
    assert [refused(raw).kind for raw, _ in faults] == [kind for _, kind in faults]


@pytest.mark.parametrize("value", ['a"b', '"', '""""', "\\", '\\"', "\u2028\u0085\r", "é", '{"Source":1}'])
def test_quotes_in_values_are_no_second_field(value: str) -> None:
    """Values that hold quotes and backslashes, escaped in any way, are accepted and arrive."""
    for raw in (line(record(Source=value)), json.dumps(record(Source=value)).encode()):
        assert READER.read(raw) == READER.read(json.dumps(record(Source=value), indent=1).encode())


def test_backslashes_at_the_ends_hide_no_second_field() -> None:
    """Of the quotes behind a backslash some end a string: as many as a field given twice has."""
    twice = line(record(Source="x\\", SourceName="y\\"))[:-1] + b',"Retried":5}'
    assert refused(twice).kind == "duplicate_field"


def test_escapes_in_names_are_the_names() -> None:
    r"""``"\u0053ource"`` is Source: it is known, and nothing is missing."""
    escaped = VALID_LINE.replace(b'"Source"', b'"\\u0053ource"').replace(b'"Delete"', b'"\\u0044elete"')
    assert escaped != VALID_LINE
    assert READER.read(escaped) == READER.read(VALID_LINE)


def test_minus_zero_is_zero() -> None:
    """-0 is a whole number in JSON, and no value of a key that creates."""
    assert READER.read(in_place_of("ImportSyncRecordID", b"-0")) == READER.read(VALID_LINE)


def test_white_space_around_and_within_is_no_matter() -> None:
    """JSON's own white space is skipped, a CR among it."""
    spaced = b" \t" + VALID_LINE.replace(b",", b" ,\r\t ").replace(b":", b" : ") + b" \r"
    assert orjson.loads(spaced)["SourceID"] == "S-1"
    raw = b" \t" + VALID_LINE.replace(b',"', b' ,\r\t "') + b" \r"
    assert READER.read(raw) == READER.read(VALID_LINE)


def exactly(raw: bytes) -> Record | tuple[str, str | None, str]:
    """What the exact path alone makes of a line."""
    template = Template(SET_RECORD, SOAP_11)
    try:
        values = parse_exactly(raw)
        envelope, _ = template.render(values)
    except RecordError as error:
        return error.kind, error.field, error.message
    return Record(envelope, (values.get("SourceID") or None,), values["ImportSyncRecordID"] != 0)


odd_values = st.one_of(
    st.sampled_from([b"null", b"true", b"1.0", b"-0", b"1e2", b"99999999999999999999", b"{}", b'["a"]', b'{"a":"b"}']),
    st.sampled_from([b'"\\""', b'"\\u0022"', b'"x\\ud83d\\ude00"', b'"\\ud83d"', b'"\\u0000"', b'""', b"NaN", b"\xff"]),
    st.integers().map(lambda number: str(number).encode()),
    st.text(max_size=5).map(orjson.dumps),
)
odd_names = st.one_of(
    st.sampled_from([name.encode() for name in FIELDS]),
    st.sampled_from([rb"\u0053ource", rb"Sou\"rce", b"sourceid", b"", b"x"]),
)


@st.composite
def odd_lines(draw: st.DrawFn) -> bytes:
    """Lines of members that are right for the most part, some dropped, some given anew or twice, in any order."""
    values = draw(records)
    members = [(name.encode(), orjson.dumps(value)) for name, value in values.items()]
    for name, value in draw(st.lists(st.tuples(odd_names, odd_values), max_size=2)):
        if draw(st.booleans()):
            members = [member for member in members if member[0] != name]
        members.append((name, value))
    if draw(st.integers(0, 9)) == 0:
        del members[draw(st.integers(0, len(members) - 1))]
    separator = draw(st.sampled_from([b",", b" ,\t", b", "]))
    return b"{" + separator.join(b'"%b":%b' % member for member in draw(st.permutations(members))) + b"}"


@quickly
@given(raw=odd_lines())
def test_the_fast_path_and_the_exact_one_agree(raw: bytes) -> None:
    """Whatever the line, it is accepted with the same envelope, or refused with the same words."""
    found: Record | tuple[str, str | None, str]
    try:
        found = READER.read(raw)
    except RecordError as error:
        found = error.kind, error.field, error.message
    assert found == exactly(raw)


@quickly
@given(values=records, name=st.sampled_from(list(FIELDS)), value=odd_values)
def test_a_field_given_twice_is_never_accepted(values: dict[str, Any], name: str, value: bytes) -> None:
    """However the second one looks, before or behind the first."""
    members = line(values)[1:-1]
    second = b'"%b":%b' % (name.encode(), value)
    for raw in (b"{" + members + b"," + second + b"}", b"{" + second + b"," + members + b"}"):
        assert refused(raw).kind in {"duplicate_field", "malformed_json", "not_utf8"}


def test_many_members_are_looked_at_once() -> None:
    """A line of 200,000 members of which the last stands twice is refused in one pass."""
    names = [b'"%d":1' % number for number in range(200_000)]
    assert refused(b"{" + b",".join([*names, names[-1]]) + b"}").field == "199999"


def test_bytes_never_raise_anything_else() -> None:
    """Each single byte of a valid line may be any byte: the line is a record or invalid."""
    for at in range(0, len(VALID_LINE), 7):
        for byte in range(0, 256, 5):
            raw = VALID_LINE[:at] + bytes([byte]) + VALID_LINE[at + 1 :]
            try:
                READER.read(raw)
            except RecordError:
                READER.key_of(raw)


@pytest.mark.parametrize(
    ("fields", "values", "key", "shown"),
    [
        (("SourceID",), {}, ("S-1",), "S-1"),
        (("SourceID",), {"SourceID": ""}, (None,), None),
        (("SourceID",), {"SourceID": None}, (None,), None),
        (("SourceID",), {"SourceID": "0"}, ("0",), "0"),
        (("SourceID",), {"SourceID": " "}, (" ",), " "),
        (("VeetroID",), {}, (17,), 17),
        (("VeetroID",), {"VeetroID": 0}, (None,), None),
        (("SourceID", "VeetroID"), {}, ("S-1", 17), ["S-1", 17]),
        (("SourceID", "VeetroID"), {"VeetroID": 0}, ("S-1", None), ["S-1", None]),
        (("SourceID", "VeetroID"), {"VeetroID": 0, "SourceID": ""}, (None, None), None),
        ((), {}, (), None),
    ],
)
def test_the_key_of_a_record(
    fields: tuple[str, ...], values: dict[str, Any], key: tuple[str | int | None, ...], shown: object
) -> None:
    """Empty, null and 0 are no value; one field shows as it is, several as an array, none at all as null."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11), fields)
    found = reader.read(line(record(**values)))
    assert found.key == key
    assert key_as_json(found.key) == shown
    assert reader.key_of(line(record(**values))) == key


def test_a_default_is_part_of_the_key() -> None:
    """A record that lacks its key has the default's; where the default is no value, it has none."""
    template = Template(SET_RECORD, SOAP_11, {"SourceID": "D", "VeetroID": "0"})
    reader = RecordReader(template, ("SourceID", "VeetroID"))
    assert reader.read(line(record("SourceID", "VeetroID"))).key == ("D", None)
    assert reader.read(line(record(SourceID=""))).key == (None, 17), "an empty string is given, and no value"


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b'{"SourceID":"S-9"', None),
        (b'{"SourceID":"S-9"}', "S-9"),
        (b'{"SourceID":5,"No":1}', 5),
        (b'{"SourceID":5.5}', None),
        (b'{"SourceID":true}', None),
        (b'{"SourceID":{}}', None),
        (b'{"SourceID":99999999999999999999}', None),
        (b'["SourceID"]', None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_the_key_of_an_invalid_line(raw: bytes, key: object) -> None:
    """As far as it can be read, and never an error."""
    assert key_as_json(READER.key_of(raw)) == key


def test_a_key_must_be_a_field() -> None:
    """An order by a field that does not exist is an error of the settings."""
    with pytest.raises(SettingsError) as caught:
        RecordReader(Template(SET_RECORD, SOAP_11), ("SourceId",))
    assert str(caught.value) == "--order-by: SetOutlookSyncRecord has no field SourceId; did you mean SourceID?"


@pytest.mark.parametrize(
    ("defaults", "values", "safe"),
    [
        ({}, {"ImportSyncRecordID": 0}, False),
        ({}, {"ImportSyncRecordID": 5}, True),
        ({}, {"ImportSyncRecordID": -1}, True),
        ({"ImportSyncRecordID": "0"}, {"ImportSyncRecordID": None}, False),
        ({"ImportSyncRecordID": "7"}, {"ImportSyncRecordID": None}, True),
        ({"ImportSyncRecordID": "7"}, {"ImportSyncRecordID": 0}, False),
    ],
)
def test_a_record_that_creates_is_not_safe_to_send_twice(
    defaults: dict[str, Any],
    values: dict[str, Any],
    safe: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """The id 0 creates, given or by default; any other updates the record that has it."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11, defaults), ())
    assert reader.read(line(record(**values))).safe is safe


def test_a_name_twice_in_a_nested_object_is_not_twice_in_the_record() -> None:
    """What is wrong with such a field is its type."""
    error = refused(in_place_of("Source", b'{"Source":1,"Source":2}'))
    assert (error.kind, error.field) == ("wrong_type", "Source")


@pytest.mark.parametrize("name", ["Delete", "RemoteTimeStamp"])
def test_types_that_make_no_order_key(name: str) -> None:
    """They are refused at the start, and the error says why."""
    with pytest.raises(
        SettingsError, match=f"--order-by: {name} is a (boolean|dateTime), which tells no records apart"
    ):
        RecordReader(Template(SET_RECORD, SOAP_11), (name,))
