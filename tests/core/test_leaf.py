from __future__ import annotations

import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from batcher.core.leaf import _check_date, _is_plain_date, did_you_mean, is_plain, leaf_type
from batcher.errors import RecordError, TemplateError
from tests.core.samples import quickly, texts

STATUS = "NA or InProgress or Completed"


def refused(kind: str, value: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        leaf_type(kind).to_xml(value)
    return caught.value


@pytest.mark.parametrize("value", [0, 1, -1, 2**31 - 1, -(2**31)])
def test_an_int_is_written_in_digits(value: int) -> None:
    """Whole numbers of 32 bits, both ends included, are written as they are."""
    assert leaf_type("int").to_xml(value) == str(value)


@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        ("int", 2**31, "out_of_range", "2147483648 is not within -2147483648 and 2147483647 (32 bit)"),
        ("int", -(2**31) - 1, "out_of_range", "-2147483649 is not within -2147483648 and 2147483647 (32 bit)"),
        ("int", 10**99, "out_of_range", "1" + "0" * 59 + "… is not within -2147483648 and 2147483647 (32 bit)"),
        ("int", 5.0, "wrong_type", "must be a whole number, not 5.0"),
        ("int", "5", "wrong_type", 'must be a whole number, not "5"'),
        ("int", True, "wrong_type", "must be a whole number, not true"),
        ("int", [5], "wrong_type", "must be a whole number, not an array"),
        ("boolean", 1, "wrong_type", "must be true or false, not 1"),
        ("boolean", "true", "wrong_type", 'must be true or false, not "true"'),
        ("boolean", {}, "wrong_type", "must be true or false, not an object"),
        ("dateTime", 20240531, "wrong_type", "must be a date and time as a string, not 20240531"),
        ("string", 5, "wrong_type", "must be a string, not 5"),
        ("string", False, "wrong_type", "must be a string, not false"),
        (STATUS, 1, "wrong_type", "must be one of NA, InProgress, Completed, not 1"),
        (
            STATUS,
            "inprogress",
            "bad_enum",
            '"inprogress" is none of NA, InProgress, Completed; did you mean InProgress?',
        ),
        (STATUS, "Complete", "bad_enum", '"Complete" is none of NA, InProgress, Completed; did you mean Completed?'),
        (STATUS, "xyz", "bad_enum", '"xyz" is none of NA, InProgress, Completed'),
        (STATUS, " NA", "bad_enum", '" NA" is none of NA, InProgress, Completed; did you mean NA?'),
        (STATUS, "NA\n", "bad_enum", '"NA\\n" is none of NA, InProgress, Completed; did you mean NA?'),
        (STATUS, "\u202eq", "bad_enum", '"\\u202eq" is none of NA, InProgress, Completed'),
        (STATUS, "é" * 61, "bad_enum", f'"{"é" * 60}"… is none of NA, InProgress, Completed'),
        (STATUS, "", "bad_enum", '"" is none of NA, InProgress, Completed'),
    ],
)
def test_what_is_no_value_of_the_type_is_refused(kind: str, value: Any, error: str, message: str) -> None:
    """The kind says what is wrong, the message quotes the value as JSON writes it, on one line and capped."""
    found = refused(kind, value)
    assert (found.kind, found.message, found.field) == (error, message, None)


def test_a_boolean_and_an_enumeration_are_written_as_the_service_reads_them() -> None:
    """``true`` and ``false`` in lower case, members in theirs."""
    assert [leaf_type("boolean").to_xml(value) for value in (True, False)] == ["true", "false"]
    assert [leaf_type(STATUS).to_xml(value) for value in ("NA", "Completed")] == ["NA", "Completed"]


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-31T09:30:00",
        "2024-05-31T09:30:00Z",
        "2024-05-31T00:00:00.1",
        "2024-05-31T23:59:59.123456789Z",
        "2024-05-31T09:30:00+14:00",
        "2024-05-31T09:30:00-14:00",
        "2024-05-31T09:30:00.5-00:00",
        "2024-02-29T00:00:00",
        "2000-02-29T00:00:00",
        "2023-12-31T00:00:00",
        "2023-04-30T00:00:00",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00-05:00",
        "0001-01-01T05:00:00+05:00",
        "9999-12-31T23:59:59.9999999Z",
        "9999-12-31T23:59:59+01:00",
        "9999-12-31T23:59:59.99999994",
    ],
)
def test_a_real_date_is_written_as_it_is(text: str) -> None:
    """Every form that the service reads is left to the letter, with the zone and fraction it came with."""
    assert leaf_type("dateTime").to_xml(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (text, "is no yyyy-MM-ddTHH:mm:ss")
            for text in (
                *("", "2024-05-31", "09:30:00", "2024-05-31T09:30", "2024-05-31 09:30:00", "2024-5-31T09:30:00"),
                *("2024-05-31t09:30:00", "2024-05-31T09:30:00z", "2024-05-31T09:30:00.", "2024-05-31T09:30:00,5"),
                *(
                    "2024-05-31T09:30:00+2:00",
                    "2024-05-31T09:30:00+0200",
                    "2024-05-31T09:30:00 Z",
                    "-2024-05-31T09:30:00",
                ),
                *(
                    " 2024-05-31T09:30:00",
                    "2024-05-31T09:30:00\n",
                    "20240-05-31T09:30:00",
                    "\u0662\u0660\u0662\u0664-05-31T09:30:00",
                ),
                *(
                    "2024-05-31T09:30:0\uff15",
                    "/Date(1717147800000)/",
                    "2024-05-31T09:30:00ZZ",
                    "2024-05-31T09:30:00.\u0661",
                ),
            )
        ),
        *(
            (text, "is no day of the calendar")
            for text in (
                *("2023-02-29T00:00:00", "1900-02-29T00:00:00", "2024-02-30T00:00:00", "2024-04-31T00:00:00"),
                *("2024-00-10T00:00:00", "2024-13-10T00:00:00", "2024-05-00T00:00:00", "2024-05-32T00:00:00"),
                *("0000-01-01T00:00:00", "0000-02-29T00:00:00Z"),
            )
        ),
        *(
            (text, "is no time of a day")
            for text in ("2024-05-31T24:00:00", "2024-05-31T09:60:00", "2024-05-31T09:30:60", "2024-05-29T99:30:00Z")
        ),
        *(
            (text, "has no offset within 14:00 of UTC")
            for text in ("2024-05-31T09:30:00+14:01", "2024-05-31T09:30:00-15:00", "2024-05-31T09:30:00+01:60")
        ),
        *(
            (text, "is outside the years 1 to 9999 in UTC")
            for text in ("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0001-01-01T04:59:59+05:00")
        ),
        ("9999-12-31T23:59:59.99999995", "is rounded to 7 digits, and so past the year 9999"),
    ],
)
def test_what_is_no_date_is_refused(text: str, message: str) -> None:
    """Days, times and offsets that do not exist, other forms, other digits, and what the service would clamp."""
    found = refused("dateTime", text)
    assert found.kind == "bad_datetime"
    assert message in found.message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("plain é \U0001f600 \u2028\u0085\x7f\ufffd]]", "plain é \U0001f600 \u2028\u0085\x7f\ufffd]]"),
        ("a<b>&amp;c]]>", "a&lt;b&gt;&amp;amp;c]]&gt;"),
        ("'\"", "'\""),
        ("a\rb\r\nc\nd\te", "a&#xD;b&#xD;\nc\nd\te"),
        (" a ", " a "),
        (" ", "&#32;"),
        ("\n \t", "&#10; \t"),
        ("\t\r", "&#9;&#xD;"),
        ("\r\n", "&#13;\n"),
        ("\u00a0 ", "\u00a0 "),
        (" \u00a0", "&#32;\u00a0"),
    ],
)
def test_a_string_is_written_so_that_it_arrives(value: str, text: str) -> None:
    """Mark-up is escaped, a CR is a reference; blanks alone begin with the decimal reference that .NET keeps."""
    assert leaf_type("string").to_xml(value) == text


FORBIDDEN = [*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xFFFE, 0xFFFF]


@pytest.mark.parametrize("before", ["", "a<", " ", "\r\n"], ids=repr)
@pytest.mark.parametrize("code", FORBIDDEN, ids=hex)
def test_a_character_that_xml_forbids_is_refused_by_its_code(code: int, before: str) -> None:
    """The message names place and code point, also among blanks: Python counts U+000B and U+001C as white space."""
    found = refused("string", f"{before}{chr(code)}")
    assert found.kind == "illegal_character"
    assert found.message.startswith(f"character {len(before) + 1} is U+{code:04X},")


def test_every_other_character_is_accepted() -> None:
    """Of all of Unicode just those that XML 1.0 forbids are refused."""
    to_xml = leaf_type("string").to_xml
    allowed = [code for code in range(sys.maxunicode + 1) if not (0xD800 <= code <= 0xDFFF or code in FORBIDDEN)]
    text = to_xml("".join(map(chr, allowed)))
    assert len(text) == len(allowed) + len("&amp;&lt;&gt;&#xD;") - 4


@quickly
@given(texts)
def test_a_string_reads_back_as_it_was(value: str) -> None:
    """An XML parser makes of what is written exactly the string that was given."""
    element = etree.fromstring(f"<x>{leaf_type('string').to_xml(value)}</x>")
    assert (element.text or "") == value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *(("int", *pair) for pair in (("0", 0), (" +7\n", 7), ("-0", 0), ("007", 7), ("9" * 18, 10**18 - 1))),
        *(("int", text, text) for text in ("", "x", "1.0", "9" * 19, "\u0663", "1_0", "\u00a05")),
        *(("boolean", *pair) for pair in (("true", True), ("false", False), (" 1 ", True), ("0", False))),
        *(("boolean", text, text) for text in ("True", "", "yes")),
        ("dateTime", "soon", "soon"),
        ("string", " x\r", " x\r"),
        (STATUS, "Elsewhere", "Elsewhere"),
    ],
)
def test_an_answer_is_reported_not_judged(kind: str, text: str, value: Any) -> None:
    """A text of the type becomes a JSON value of it, any other text stays as it is."""
    found = leaf_type(kind).to_json(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("int", "-5", -5), ("int", "+5", 5), ("boolean", "true", True), ("boolean", "false", False), ("string", "5", "5")],
)
def test_text_becomes_a_value_of_the_type(kind: str, text: str, value: Any) -> None:
    """What the command line gives as text is read as the field's type asks."""
    assert leaf_type(kind).from_text(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        *(("int", text, "is no whole number") for text in ("", "x", "1.0", "1_000", " 5", "\u0665", "9" * 5000)),
        *(("boolean", text, "is not true or false") for text in ("True", "1", "")),
    ],
)
def test_text_that_is_no_value_is_refused(kind: str, text: str, message: str) -> None:
    """Nothing is guessed: Python's own reading of numbers is wider than the service's."""
    with pytest.raises(ValueError, match=message):
        leaf_type(kind).from_text(text)


def test_a_placeholder_names_its_type_whatever_the_layout() -> None:
    """Line breaks and indentation around and within a placeholder do not matter."""
    assert leaf_type("\n  int\t").name == "int"
    assert leaf_type(" NA or\n  InProgress ").to_xml("InProgress") == "InProgress"


@pytest.mark.parametrize("text", ["", "Int", "integer", "A or", "or", "A or B C", "A,B"])
def test_an_unknown_placeholder_is_an_error(text: str) -> None:
    """A type that we do not know is told with those that we do."""
    with pytest.raises(TemplateError, match="known are boolean, dateTime, int, string and 'A or B or C'"):
        leaf_type(text)


@given(st.text(), st.lists(st.text(), max_size=5))
@quickly
def test_a_suggestion_is_one_of_the_known(word: str, known: list[str]) -> None:
    """Whatever was written, what is suggested exists."""
    assert did_you_mean(word, tuple(known)) in {None, *known}


@pytest.mark.parametrize(
    ("word", "meant"), [("sourceid", "SourceID"), ("SourcID", "SourceID"), ("VEETROID", "VeetroID"), ("qqq", None)]
)
def test_a_suggestion_is_near(word: str, meant: str | None) -> None:
    """Letter case and a slip of the finger are forgiven; what is far from all gets none."""
    assert did_you_mean(word, ("SourceID", "VeetroID", "Delete")) == meant


@pytest.mark.parametrize("year", ["0000", "0001", "1900", "2023", "2024", "8999", "9999"])
def test_plain_dates_are_days_of_the_calendar(year: str) -> None:
    """The form of nearly all dates takes no day that is none, and every day of nearly all years but leap days."""
    to_xml = leaf_type("dateTime").to_xml
    for month in range(20):
        for day in range(40):
            text = f"{year}-{month:02}-{day:02}T23:59:59.5Z"
            try:
                real = date(int(year), month, day) is not None
            except ValueError:
                real = False
            if real:
                assert to_xml(text) == text
            if _is_plain_date(text) is not None:
                assert real
            elif real:
                assert (month, day) == (2, 29) or year in {"0001", "9999"}
    assert _is_plain_date("0001-01-01T00:00:00") is not None, "what .NET writes for no date at all"


@pytest.mark.parametrize("day", ["0001-01-01", "1000-01-01", "2024-05-31", "8999-12-31", "9999-12-31"])
def test_plain_dates_are_dates_without_the_form(day: str) -> None:
    """Any that the form takes, of all offsets, passes the arithmetic as well; in most years it takes nearly all."""
    taken = 0
    for time in ("00:00:00", "23:59:59", "23:59:59.99999999"):
        for sign in "+-":
            for hour in range(20):
                for minute in (0, 1, 59, 60):
                    text = f"{day}T{time}{sign}{hour:02}:{minute:02}"
                    if _is_plain_date(text) is not None:
                        _check_date(text)
                        taken += 1
    assert taken == (3 * 2 * 14 * 3 if "1" <= day < "9" else 0)


@pytest.mark.parametrize("hour", range(30))
def test_plain_dates_have_hours_of_a_day(hour: int) -> None:
    """From 0 to 23."""
    assert (_is_plain_date(f"2024-05-31T{hour:02}:00:00") is not None) == (hour <= 23)


def test_plain_lines_hold_nothing_that_xml_writes_otherwise() -> None:
    """Neither XML's marks, nor a backslash, behind which JSON carries what XML forbids, nor U+FFFE and U+FFFF."""
    assert is_plain('{"a":"é\U0001f600\u2028 \x7f"}'.encode())
    for text in ("&", "<", ">", "\\u0001", "\\r", "\\n", "\ufffe", "\uffff"):
        assert not is_plain(f'{{"a":"x{text}y"}}'.encode())
