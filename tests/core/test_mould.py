"""Answers are poured into the mould of one like them, and must come out as if they were the first."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given

from batcher.core.answer import Matcher
from batcher.core.soap import SOAP_11
from tests.core.answers import KEY, by_tree
from tests.core.samples import SET_RECORD, VALID, answer, quickly
from tests.core.test_fuzz import edits, mutated

BODY = answer(VALID, SOAP_11)


def used(*before: bytes) -> Matcher:
    """A matcher that has seen enough answers for a mould, those *before* last."""
    matcher = Matcher(SET_RECORD, SOAP_11, KEY)
    for body in (BODY, BODY, *before):
        assert matcher.match(body) is not None
    return matcher


def with_value(**changed: Any) -> bytes:
    return answer(VALID | changed, SOAP_11)


@quickly
@given(changes=edits)
def test_a_damaged_answer_is_poured_to_what_the_parser_finds(changes: list[tuple[float, int, bytes]]) -> None:
    """The same to the byte, or left to the parser, however much of it fits the mould."""
    body = mutated(BODY, changes)
    assert used().match(body) in {None, by_tree(body)}


@pytest.mark.parametrize("size", [1, 2, 7])
def test_each_byte_of_the_mould_counts(size: int) -> None:
    """An answer in which any bytes are others, which are as many, is what the parser makes of it, or nothing."""
    matcher = used()
    for at in range(len(BODY) - size):
        body = BODY[:at] + b"x" * size + BODY[at + size :]
        found = matcher.match(body)
        assert found is None or found == by_tree(body), body


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xed\xa0\x80", b"\xef\xbf\xbe", b"\x01", b"\t", b"&amp;", b'"', b"\\", b"]]>"]
)
def test_no_value_is_poured_that_json_or_xml_would_write_otherwise(text: bytes) -> None:
    """What is no UTF-8, what XML forbids and what JSON escapes is left to the parser, in whatever value."""
    for name in ("SourceID", "Source", "RemoteTimeStamp"):
        body = with_value(**{name: "2024"}).replace(f"<{name}>2024".encode(), f"<{name}>2024".encode() + text)
        assert used(with_value(SourceID="a", Source="b")).match(body) is None


def test_letters_of_any_script_are_poured(monkeypatch: pytest.MonkeyPatch) -> None:
    """They need no look at the whole shape, in a value that changes as in one that never did."""
    matcher = used(with_value(Source="früh"), with_value(Source="spät"))
    monkeypatch.setattr(matcher._shape, "_match", pytest.fail)
    found = matcher.match(with_value(Source="früh", SourceID="Zoë 😀"))
    assert found is not None
    assert orjson.loads(found.fields) == VALID | {"Source": "früh", "SourceID": "Zoë 😀"}
    assert found.key[0] == "Zoë 😀"


def test_a_steady_value_that_changes_is_learned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on the mould takes any value there; numbers, dates and the key were never part of it."""
    matcher = used(with_value(Source="another"))
    monkeypatch.setattr(matcher._shape, "_match", pytest.fail)
    for body in (
        with_value(Source="a third"),
        with_value(VeetroID=7, SourceID="S-7", RemoteTimeStamp="2025-01-01T00:00:00.5Z", Retried=0),
        BODY,
    ):
        assert matcher.match(body) == by_tree(body)


def test_moulds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However answers change, few expressions are compiled, and those that come again and again have one."""
    made: list[object] = []
    compile_it = re.compile

    def count(pattern: bytes, flags: int) -> re.Pattern[bytes]:
        made.append(pattern)
        return compile_it(pattern, flags)

    texts = ("VeetroType", "VeetroIDStr", "Source", "SyncIdentifier", "SourceType", "SourceName", "ApplyValues")
    matcher = Matcher(SET_RECORD, SOAP_11, KEY)
    assert matcher.match(with_value()) is not None  # the shape's own expression is compiled with that
    monkeypatch.setattr(re, "compile", count)
    for number in range(2 ** len(texts)):
        nulls = {name: None for bit, name in enumerate(texts) if number >> bit & 1}
        for turn in range(4):
            body = with_value(**(dict.fromkeys(texts, f"x{turn}") | nulls))
            assert matcher.match(body) == by_tree(body)
    assert 0 < len(made) <= 64
