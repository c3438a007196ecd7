from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.fingerprint import FINGERPRINT_LIMIT, fingerprint, one_line

TRACE = (
    "System.Web.Services.Protocols.SoapException: Server was unable to process request. ---> "
    "System.Exception: Row {row} is locked\n   at Veetro.Sync.Save(Record r) in c:\\src\\Sync.cs:line {row}\n"
    "   --- End of inner exception stack trace ---"
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Transaction (Process ID 57) was deadlocked", "Transaction (Process ID #) was deadlocked"),
        ("There is an error in XML document (1, 345).", "There is an error in XML document (#, #)."),
        ("at 2024-01-02T03:04:05.123Z it was -1,234.50", "at # it was #"),
        ("id 6f9619ff-8b86-d011-b42d-00C04FC964FF gone", "id # gone"),
        ("hash 96ad3bb4a2d666d3, address 0xDEADBEEF", "hash #, address #"),
        ("'O'Brien' is no name, can't take \"Jane Doe\"", "'#' is no name, can't take '#'"),
        ("The string \u201cabc\u201d and \u2018abc\u2019 and «abc»", "The string '#' and '#' and '#'"),
        ("The string 'cut in the midd…", "The string '#'"),
        ("  two \t blanks\u00a0 fold  ", "two blanks fold"),
        ("", ""),
        ("\n\n", ""),
    ],
)
def test_values_leave_the_fingerprint(text: str, name: str) -> None:
    """Numbers, dates, ids and quoted values are replaced; words and apostrophes within them stay."""
    assert fingerprint(text) == name


def test_stack_traces_leave_the_fingerprint() -> None:
    """A fault with its stack trace, the same folded into one line, and the first line alone have one fingerprint."""
    first = TRACE.partition("\n")[0]
    expected = fingerprint(first.format(row=1))
    assert expected.endswith("System.Exception: Row # is locked")
    assert fingerprint(TRACE.format(row=2)) == expected
    assert fingerprint(one_line(TRACE.format(row=3))) == expected


def test_a_fingerprint_is_capped() -> None:
    """However long a text is, its fingerprint has at most 160 characters, and those are its first."""
    assert fingerprint("word " * 100_000) == ("word " * 32).rstrip()
    assert len(fingerprint("word " * 100_000)) <= FINGERPRINT_LIMIT


@given(st.text())
def test_a_fingerprint_has_no_digits_and_no_line_break(text: str) -> None:
    """No text whatever brings a decimal digit or a line break into a fingerprint."""
    name = fingerprint(text)
    assert not any(character.isdecimal() for character in name)
    assert len(name.splitlines()) <= 1


def test_one_line_replaces_what_would_break_a_line_or_a_terminal() -> None:
    """Line breaks of every kind, escapes, direction marks and lone surrogates become one space."""
    text = " a\r\nb\x1b[31mc\u2028d\x85e\u202ef\ud800g\x00\x07h\ti\n"
    assert one_line(text) == "a b [31mc d e f g h i"


def test_one_line_marks_what_it_cuts_off() -> None:
    """A text of the limit stays whole; a longer one ends in an ellipsis and is no longer than the limit."""
    assert one_line("x" * 20, 20) == "x" * 20
    assert one_line("x" * 21, 20) == "x" * 19 + "…"
    assert one_line("x" + " " * 10_000 + "y", 20) == "x…"


@given(st.text(alphabet=st.characters(), max_size=300), st.integers(2, 100))
def test_one_line_is_always_one_writable_line(text: str, limit: int) -> None:
    """Any text, lone surrogates included, becomes one line within the limit that can be written as UTF-8."""
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert line.encode().decode() == line
    assert one_line(line, limit) == line
