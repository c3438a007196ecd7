from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.layout import _EVERY, _LAYOUTS, _LONG, _SEEN, Layouts
from batcher.core.record import Record, RecordReader, parse_exactly
from batcher.core.soap import SOAP_11, SOAP_12, Soap
from batcher.core.template import MAX_ENVELOPE, Operation, Template
from batcher.errors import RecordError
from tests.core.samples import FIELDS, SET_RECORD, STRINGS, VALID, line, quickly, record, records

NOTE = Operation.parse(b"""<operation soap-action="urn:notes/Add" creates-when-zero="Open">
  <request>
    <Add xmlns="urn:notes"><Topic>string</Topic><Open>boolean</Open>
      <Note><Text>string</Text><Kind xmlns="urn:100%25kinds">Short or Lang or L\xc3\xa4nger</Kind></Note>
      <Size>int</Size></Add>
  </request>
  <response><AddResponse xmlns="urn:notes"><AddResult>string</AddResult></AddResponse></response>
</operation>""")
NOTE_VALUES: dict[str, Any] = {"Topic": "t", "Open": True, "Text": "x", "Kind": "Lang", "Size": 5}
USUAL = record(
    ImportSyncRecordID=3,
    LocalTimeStamp="2024-05-31T09:30:00.25+02:00",
    ErrorMsg="none",
    DateLastModifiedRemoteUtc="2024-10-30T23:59:59.5Z",
)
"""All fields with plain values."""
DEFAULTS = {"SourceName": "none", "Retried": 3, "SourceID": "D", "ImportSyncRecordID": "0", "Delete": "true"}


def read(reader: RecordReader, raw: bytes) -> Record | tuple[str, str | None, str]:
    try:
        return reader.read(raw)
    except RecordError as error:
        return error.kind, error.field, error.message


def exactly(template: Template, order_by: tuple[str, ...], raw: bytes) -> Record | tuple[str, str | None, str]:
    """What the exact path makes of a line, written anew: parsed by the standard library, rendered leaf by leaf."""
    defaults = template.defaults
    try:
        values = parse_exactly(raw)
        text, _ = template._render_carefully(values)
        if len(text.encode()) > MAX_ENVELOPE:
            template.render(values)
    except RecordError as error:
        return error.kind, error.field, error.message
    given = defaults | {name: value for name, value in values.items() if value is not None}
    zero = template.operation.creates_when_zero
    safe = zero is None or given[zero] != 0
    return Record(text.encode(), tuple(given.get(name) or None for name in order_by), safe)


def teach(reader: RecordReader, *lines: bytes) -> None:
    for raw in lines:
        for _ in range(2 * _EVERY):
            assert isinstance(read(reader, raw), Record)
        assert reader._layouts.read(raw) is not None, "its layout was learned"


def agree(reader: RecordReader, order_by: tuple[str, ...], raw: bytes) -> None:
    found, expected = read(reader, raw), exactly(reader._template, order_by, raw)
    assert found == expected
    if isinstance(found, Record) and isinstance(expected, Record):
        assert [type(value) for value in found.key] == [type(value) for value in expected.key]
        assert found.safe is expected.safe


STYLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "tight": lambda values: json.dumps(values, ensure_ascii=False, separators=(",", ":")),
    "spaced": lambda values: json.dumps(values, ensure_ascii=False),
    "wide": lambda values: " { " + json.dumps(values, ensure_ascii=False, separators=("\t, ", " :\r "))[1:-1] + " } ",
}
TAUGHT = {
    "usual": USUAL,
    "other order": dict(reversed(USUAL.items())),
    "nulls": USUAL | {"ErrorMsg": None},
    "gaps": {name: value for name, value in USUAL.items() if name not in {"VeetroType", "ErrorMsg"}},
}
READERS = [
    pytest.param(soap, defaults, style, taught, order_by, id=f"{soap.version} {style} {taught} {bool(defaults)}")
    for soap, defaults, style, taught, order_by in (
        (SOAP_11, {}, "tight", "usual", ("SourceID",)),
        (SOAP_12, DEFAULTS, "spaced", "usual", ("SourceID", "VeetroID")),
        (SOAP_11, {}, "wide", "other order", ("VeetroID", "CurrentStatus")),
        (SOAP_11, {}, "tight", "nulls", ("SourceID",)),
        (SOAP_12, DEFAULTS, "tight", "gaps", ("SourceID", "Retried")),
        (SOAP_11, {}, "spaced", "gaps", ()),
    )
]

ODD = [
    *(b"null", b"true", b"false", b"True", b"1.0", b"1e3", b"-0", b"01", b"-01", b"-", b"+1", b"0", b"-1", b"NaN"),
    *(b"999999999", b"1000000000", b"2147483647", b"2147483648", b"-2147483648", b"-2147483649", b"9" * 30),
    *(b'""', b'" "', b'"  "', b'" x"', b'"x "', b'"\t"', b'"a\rb"', b'"\n"', b'"\x00"', b'"\x1f"', b'"\x7f"', b'"a"b"'),
    *(b'"&"', b'"<"', b'">"', b'"a&amp;b"', b'"]]>"', b'"\\""', b'"\\\\"', b'"\\u0041"', b'"\\ud83d"'),
    *(b'"\\ud83d\\ude00"', b'"\xef\xbf\xbe"', b'"\xef\xbf\xbf"', b'"\xc3\xa4"', b'"\xc0\xaf"', b'"\xe2\x82"'),
    *(b'"\\u0000"', b'"\\r"', b'"\\n"', b'"\\/"', b'"x\\"', b'"\xff"', b'"\xed\xa0\x80"'),
    *(b'"\xf4\x90\x80\x80"', b'"\xf0\x9f\x98\x80"', b'"\xef\xbf\xbd"'),
    *(b'"\xc2\xa0"', b'"\xe3\x80\x80"', b'"\xc2\x85"', b'"\xe2\x80\xa8"', b'"\xef\xbb\xbf"', b"'x'", b"{}", b"[]", b""),
    *(b'"NA"', b'"Completed"', b'"NAInProgress"', b'"na"', b'"5"', b'"2024-05-31T09:30:00Z"', b'"2024-02-29T00:00:00"'),
    *(b'"2023-02-29T00:00:00"', b'"2024-04-31T00:00:00"', b'"0001-01-01T00:00:00"', b'"0001-01-01T00:00:00+05:00"'),
    *(b'"0000-01-01T00:00:00"', b'"9999-12-31T23:59:59.99999999"', b'"9999-12-31T23:59:59-01:00"', b'"2024-05-31"'),
    *(b'"2024-05-31T24:00:00"', b'"2024-05-31T09:30:60"', b'"2024-05-31T09:60:00"', b'"2024-05-31T09:30:00."'),
    *(b'"2024-05-31T09:30:00+14:00"', b'"2024-05-31T09:30:00+14:01"', b'"2024-05-31T09:30:00+13:60"'),
    *(b'"2024-05-31T09:30:00.5-05:30"', b'"2024-05-31T09:30:00ZZ"', b'"2024-05-31T09:30:00Z+01:00"'),
    *(b'"2024-13-01T00:00:00"', b'"2024-05-00T00:00:00"'),
    *(b'"8999-12-31T23:59:59-13:59"', b'"1000-01-01T00:00:00+13:59"', b'"2024-00-10T00:00:00"'),
    *(b'"2024-02-30T00:00:00"', b'"2024-11-31T00:00:00"', b'"2024-10-31T00:00:00"', b'"2024-05-31T09:30:00.5Z"'),
]  # fmt: skip
DAYS = [
    b'"%s-%02d-%02dT23:59:59%s"' % (year, month, day, zone)
    for year in (b"0000", b"0001", b"1000", b"2023", b"2024", b"8999", b"9999")
    for month, day in ((0, 1), (1, 0), (1, 31), (1, 32), (2, 28), (2, 29), (4, 30), (4, 31), (9, 31), (12, 31), (13, 1))
    for zone in (b"", b"Z", b".25+05:00", b"-14:00", b"-14:01")
]


def reader_of(
    soap: Soap, defaults: Mapping[str, Any], style: str, taught: str, order_by: tuple[str, ...]
) -> RecordReader:
    reader = RecordReader(Template(SET_RECORD, soap, defaults), order_by)
    teach(reader, STYLES[style](TAUGHT[taught]).encode())
    return reader


def with_value(values: Mapping[str, Any], style: str, name: str, value: bytes) -> bytes:
    """A line of *values*, but with *value*, as it is written, for the field called *name*."""
    return STYLES[style]({**values, name: "@"}).encode().replace(b'"@"', value)


@pytest.mark.parametrize(("soap", "defaults", "style", "taught", "order_by"), READERS)
def test_each_odd_value_in_each_field(
    soap: Soap, defaults: Mapping[str, Any], style: str, taught: str, order_by: tuple[str, ...]
) -> None:
    """Whatever stands where a learned layout has a value: the same record or the same error as by the exact path."""
    reader = reader_of(soap, defaults, style, taught, order_by)
    for name, kind in FIELDS.items():
        for value in [*ODD, *(DAYS if kind == "dateTime" else ())]:
            agree(reader, order_by, with_value(TAUGHT[taught], style, name, value))


@st.composite
def near_lines(draw: st.DrawFn, style: str, taught: str) -> bytes:
    """Lines that are nearly or wholly laid out as one that was learned: with other values, some gone, bytes changed."""
    values = dict(TAUGHT[taught])
    if draw(st.booleans()):
        given = draw(records)
        values = {name: given[name] for name in values}
    for name in draw(st.sets(st.sampled_from(list(FIELDS)), max_size=4)):
        change = draw(st.sampled_from(["drop", "null", "add", "move"]))
        if change == "null":
            values[name] = None
        elif change == "add":
            values.setdefault(name, VALID[name])
        elif name in values and change == "move":
            values[name] = values.pop(name)
        else:
            values.pop(name, None)
    raw = STYLES[style](values).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw)))
        piece = draw(
            st.one_of(
                st.sampled_from(
                    [b" ", b"\t", b"\r", b"\n", b'"', b",", b":", b"\\", b"}", b"{", b"\x00", b"\xff", b"0"]
                ),
                st.sampled_from([b'"Source":"x",', b',"Source":null', b',"No":1', b'"ErrorMsg":"a",', b" ,", b"null"]),
                st.binary(min_size=1, max_size=2),
            )
        )
        raw = raw[:at] + piece + raw[at + draw(st.integers(0, 2)) :]
    return raw


@pytest.mark.parametrize(("soap", "defaults", "style", "taught", "order_by"), READERS)
@quickly
@given(draw=st.data())
def test_a_learned_layout_and_the_exact_path_agree(
    draw: st.DataObject,
    soap: Soap,
    defaults: Mapping[str, Any],
    style: str,
    taught: str,
    order_by: tuple[str, ...],
) -> None:
    """Whatever the line: the same envelope, key and safety, or the same error."""
    reader = reader_of(soap, defaults, style, taught, order_by)
    for _ in range(3):
        agree(reader, order_by, draw.draw(near_lines(style, taught)))


def test_every_byte_at_every_place() -> None:
    """A line that was learned, with any one byte changed, put in or left out, is what the exact path makes of it."""
    reader = RecordReader(Template(NOTE, SOAP_11), ("Topic", "Size"))
    raw = line(NOTE_VALUES)
    teach(reader, raw, line(NOTE_VALUES | {"Text": None}))
    for at in range(len(raw) + 1):
        agree(reader, ("Topic", "Size"), raw[:at] + raw[at + 1 :])
        for byte in range(256):
            agree(reader, ("Topic", "Size"), raw[:at] + bytes([byte]) + raw[at + 1 :])
            agree(reader, ("Topic", "Size"), raw[:at] + bytes([byte]) + raw[at:])


@pytest.mark.parametrize(
    "defaults", [{}, {"Topic": "D", "Kind": "Short", "Open": False, "Size": 0}], ids=["", "defaults"]
)
def test_another_operation(defaults: Mapping[str, Any]) -> None:
    """Nested leaves, a member with letters beyond ASCII, and a truth that creates; each leaf given, null or gone."""
    order_by = ("Kind", "Size")
    reader = RecordReader(Template(NOTE, SOAP_12, defaults), order_by)
    teach(reader, line(NOTE_VALUES), line({"Kind": "Länger", **NOTE_VALUES, "Text": None}))
    choices: dict[str, list[Any]] = {
        "Topic": ["", "ä"],
        "Open": [False],
        "Text": [" x"],
        "Kind": ["Länger", "Short"],
        "Size": [0, -7],
    }
    for name, values in choices.items():
        for value in [*values, None]:
            for other in NOTE_VALUES:
                changed = NOTE_VALUES | {name: value}
                agree(reader, order_by, line(changed))
                agree(reader, order_by, line({key: changed[key] for key in changed if key != other}))


def test_usual_lines_are_not_parsed() -> None:
    """Plain values, letters of any kind among them, go by the layout, whichever strings are null or left out."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11), ("SourceID",))
    layouts = reader._layouts
    teach(reader, line(USUAL))
    assert (
        layouts.read(line(USUAL | {"Source": "Größe \U0001f600", "RemoteTimeStamp": "0001-01-01T00:00:00"})) is not None
    )
    assert layouts.read(line(USUAL | {"Source": None})) is None, "a layout without gaps"
    teach(reader, line(USUAL | {"Source": None}))
    for gone in ({"Source"}, set(STRINGS), {"VeetroType"}, {"SourceID", "ErrorMsg"}, set()):
        assert layouts.read(line(USUAL | dict.fromkeys(gone))) is not None
        assert layouts.read(line({name: USUAL[name] for name in USUAL if name not in gone})) is not None
    assert len(layouts._layouts) == 2


def test_lines_that_leave_out_what_is_null_have_one_layout() -> None:
    """Where names stand in the operation's order, one line with gaps teaches all."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11), ())
    for name in [*STRINGS, *STRINGS]:
        reader.read(line({key: value for key, value in USUAL.items() if key != name}))
    assert len(reader._layouts._layouts) == 1


def test_what_is_learned_is_bounded() -> None:
    """A layout is learned when it comes again, and no more than a few; all lines stay right whatever they alternate."""
    template = Template(SET_RECORD, SOAP_11)
    reader = RecordReader(template, ("SourceID",))
    names = list(USUAL)
    lines = [line({name: USUAL[name] for name in (*names[at:], *names[:at])}) for at in range(len(names))]
    for raw in [raw for raw in lines for _ in range(_EVERY)]:
        reader.read(raw)
    assert not reader._layouts._layouts, "each was seen once"
    for raw in lines * (3 * _EVERY):
        assert reader.read(raw) == exactly(template, ("SourceID",), raw)
    assert len(reader._layouts._layouts) == _LAYOUTS
    assert len(reader._layouts._seen) <= _SEEN


def test_layouts_seen_once_are_forgotten() -> None:
    """However many there are, no more are remembered than a bounded number."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11), ())
    for number in range(3 * _SEEN):
        spaces = bytes(b" \t"[number >> bit & 1] for bit in range(8))
        for _ in range(_EVERY):
            reader.read(b"{" + spaces + line(USUAL)[1:])
        assert len(reader._layouts._seen) <= _SEEN


def test_a_line_that_never_matches_teaches_once() -> None:
    """Lines with a backslash each have a layout that fits none of them: it takes one place, not all."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11), ())
    for number in range(20 * _EVERY):
        reader.read(line(USUAL | {"Source": f"\\{number}"}))
    assert len(reader._layouts._layouts) == 1


@pytest.mark.parametrize(
    "raw",
    [
        line(USUAL).replace(b'"ImportSyncRecordID"', b'"Imp\\u006frtSyncRecordID"'),
        b"{" + b" " * 17 + line(USUAL)[1:],
        line(USUAL)[:-1] + b" " * 17 + b"}",
    ],
    ids=["an escaped name", "a wide start", "a wide end"],
)
def test_what_is_not_learned(raw: bytes) -> None:
    """A first name that is escaped, and white space without end."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11), ())
    for _ in range(3 * _EVERY):
        assert reader.read(raw) == exactly(reader._template, (), raw)
    assert not reader._layouts._layouts


def test_a_learned_layout_makes_no_envelope_that_is_too_large() -> None:
    """The bound holds as on the other ways, here with a default that leaves no room."""
    least = len(Template(SET_RECORD, SOAP_11).render(USUAL | {"Source": "", "ErrorMsg": ""})[0])
    reader = RecordReader(Template(SET_RECORD, SOAP_11, {"ErrorMsg": "x" * (MAX_ENVELOPE - least)}), ())
    teach(reader, line(USUAL | {"Source": "", "ErrorMsg": None}))
    assert len(reader.read(line(USUAL | {"Source": "", "ErrorMsg": None})).envelope) == MAX_ENVELOPE
    with pytest.raises(RecordError) as caught:
        reader.read(line(USUAL | {"Source": "x", "ErrorMsg": None}))
    assert caught.value.kind == "envelope_too_large"


def test_a_long_line_is_parsed() -> None:
    """Up to a length lines go by their layout, longer ones the other ways, to the same record."""
    reader = RecordReader(Template(SET_RECORD, SOAP_11), ())
    room = _LONG - len(line(USUAL | {"Source": ""}))
    longest, longer = (line(USUAL | {"Source": "x" * length}) for length in (room, room + 1))
    teach(reader, longest)
    assert reader._layouts.read(longer) is None
    agree(reader, (), longest)
    agree(reader, (), longer)


def test_one_leaf_has_no_layout() -> None:
    """A line of one member is read as ever."""
    operation = Operation.parse(
        b'<operation soap-action="a"><request><X><A>string</A></X></request><response><Y/></response></operation>'
    )
    reader = RecordReader(Template(operation, SOAP_11), ("A",))
    for _ in range(3 * _EVERY):
        assert reader.read(b'{"A":"x"}').key == ("x",)
    assert isinstance(reader._layouts, Layouts)
    assert not reader._layouts._layouts
