from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.core.answer import Matcher
from batcher.core.soap import DECLARATION, SOAP_11, SOAP_12
from batcher.operations import load
from tests.core.answers import INNER, KEY, MATCHER, NULLS, TWO, by_tree, enveloped, fields_of, result
from tests.core.samples import FIELDS, NAMESPACE, SET_RECORD, VALID, answer, envelope, quickly, records

VERSIONS = {"1.1": SOAP_11, "1.2": SOAP_12}
MATCHERS = {version: Matcher(SET_RECORD, soap, KEY) for version, soap in VERSIONS.items()}
BODY = answer(VALID, SOAP_11)
both_versions = pytest.mark.parametrize("version", VERSIONS)


@both_versions
@quickly
@given(values=records)
def test_what_the_server_prints_reads_back(version: str, values: dict[str, Any]) -> None:
    """Any values, null and empty strings among them, come back as the JSON they were; a raw CR reads as LF."""
    values = {
        name: value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value
        for name, value in ((name, values[name]) for name in FIELDS)
    }
    body = answer(values, VERSIONS[version])
    found = by_tree(body, MATCHERS[version])
    assert found is not None
    assert found.fields == orjson.dumps(values)
    assert found.key == (values["SourceID"], str(values["VeetroID"]))
    matched = MATCHERS[version].match(body)
    assert matched in {None, found}, "the expression finds the same to the byte, or leaves it to the parser"


@both_versions
@quickly
@given(values=records)
def test_the_usual_answer_needs_no_parser(version: str, values: dict[str, Any]) -> None:
    """Without mark-up characters, quotes and line breaks in it, the expression matches."""
    plain = {
        name: "".join(c for c in values[name] if c not in '&<>"\\' and c >= " ")
        if isinstance(values[name], str)
        else values[name]
        for name in FIELDS
    }
    found = MATCHERS[version].match(answer(plain, VERSIONS[version]))
    assert found is not None
    assert found.fields == orjson.dumps(plain)


@quickly
@given(several=st.lists(records, min_size=2, max_size=6), order=st.lists(st.integers(0, 5), min_size=4, max_size=12))
def test_what_was_matched_before_changes_nothing(several: list[dict[str, Any]], order: list[int]) -> None:
    """An answer that is first compared with those before it is found as one that comes first."""
    bodies = [answer(several[number % len(several)], SOAP_11) for number in order for _ in range(2)]
    used = Matcher(SET_RECORD, SOAP_11, KEY)
    assert [used.match(body) for body in bodies] == [Matcher(SET_RECORD, SOAP_11, KEY).match(body) for body in bodies]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_an_answer_like_the_last_one_is_still_looked_at_whole(cut: int) -> None:
    """Cut, or with more behind it, it is none, however well its beginning is known."""
    used, body = Matcher(SET_RECORD, SOAP_11, KEY), BODY
    assert all(used.match(body) is not None for _ in range(3))
    assert [used.match(body[:-cut]), used.match(body + b"x" * cut), used.match(body[: len(body) // 2])] == [None] * 3
    assert used.match(body.replace(b"<VeetroID>", b"<VeetroId>")) is None


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (enveloped(result(INNER)), TWO),
        (enveloped(result(INNER), SOAP_12), TWO),
        (enveloped(result(INNER), prefix="S"), TWO),
        (enveloped(result(INNER), start=""), TWO),
        (enveloped(result(INNER), start="\ufeff" + DECLARATION), TWO),
        (enveloped(result(INNER), start=DECLARATION + "\r\n"), TWO),
        (enveloped(result(INNER)) + b"\n", TWO),
        (enveloped(result(INNER), start="<?xml version='1.0'?><!-- a --><?pi?>"), TWO),
        (f"<Envelope xmlns='{SOAP_11.namespace}'><Body>{result(INNER)}</Body></Envelope>".encode(), TWO),
        (envelope(SOAP_11, result(INNER), header="<soap:Header><a /></soap:Header>"), TWO),
        (enveloped(result("\n  <VeetroID>5</VeetroID>\n\t<Source>x</Source>\n")), TWO),
        (enveloped(result("<Source>x</Source><VeetroID>5</VeetroID>")), TWO),
        (enveloped(result("<VeetroID> +5 </VeetroID><Source><![CDATA[x]]></Source>")), TWO),
        (enveloped(result("<VeetroID>5</VeetroID><Source>&#120;</Source>")), TWO),
        (enveloped(result("<VeetroID><!-- a -->5</VeetroID><!-- b --><Source>x<?pi?></Source>")), TWO),
        (enveloped(result("<VeetroID>5</VeetroID><VeetroID>6</VeetroID><Source>x</Source>")), TWO),
        (enveloped(result(f'{INNER}<Delete xsi:nil="true" /><SourceID xsi:nil="1" />')), TWO),
        (enveloped(result(f'{INNER}<v:VeetroID xmlns:v="urn:other">9</v:VeetroID>')), TWO),
        (enveloped(result(f"{INNER}<New><a>1</a>2</New><Other />")), TWO | {"New": "12", "Other": ""}),
        (enveloped(result(f"{INNER}<New>é</New>".replace("5", "five"))), TWO | {"VeetroID": "five", "New": "é"}),
        (enveloped(result("")), NULLS),
        (enveloped(result("<Source />")), NULLS | {"Source": ""}),
        (enveloped(result("<Source/>")), NULLS | {"Source": ""}),
        (enveloped(result("<Source></Source>")), NULLS | {"Source": ""}),
        (enveloped(result("<Source> \n</Source>")), NULLS | {"Source": " \n"}),
        (enveloped(result("<Source>a&amp;&lt;&gt;\"'\\</Source>")), NULLS | {"Source": "a&<>\"'\\"}),
        (enveloped(result("<Source>a\r\nb&#xD;c</Source>")), NULLS | {"Source": "a\nb\rc"}),
        (enveloped(result("<Delete>1</Delete><Retried>-0</Retried>")), NULLS | {"Delete": True, "Retried": 0}),
        (enveloped(result(f"<Retried>{'9' * 25}</Retried>")), NULLS | {"Retried": "9" * 25}),
        (enveloped(result("<Retried>-9999999999999999999</Retried>")), NULLS | {"Retried": "-9999999999999999999"}),
        (enveloped(result("<Retried>2147483648</Retried>")), NULLS | {"Retried": 2147483648}),
        (enveloped(result("<CurrentStatus>Lost it</CurrentStatus>")), NULLS | {"CurrentStatus": "Lost it"}),
    ],
)  # fmt: skip
def test_an_answer_of_any_shape_is_found(body: bytes, fields: dict[str, Any]) -> None:
    """By namespace and name, whatever the prefixes, order, layout and extras; absent and nil are null."""
    assert fields_of(body) == fields


@pytest.mark.parametrize(
    "body",
    [
        enveloped(result(INNER)).replace(NAMESPACE.encode(), b"urn:other"),
        enveloped(f'<SetOutlookSyncRecordResponse xmlns="{NAMESPACE}" />'),
        enveloped(f'<SetOutlookSyncRecordResponse xmlns="{NAMESPACE}"></SetOutlookSyncRecordResponse>'),
        enveloped(result(INNER).replace("SetOutlookSyncRecordResult", "Result")),
        enveloped(result(INNER).replace("SyncRecordResult>", 'SyncRecordResult xsi:nil="true">', 1)),
        enveloped(result(INNER).replace("Response", "Answer")),
        enveloped(f"<Wrapped>{result(INNER)}</Wrapped>"),
        enveloped(""),
        enveloped(result(INNER)).replace(b"soap:Body", b"soap:Header"),
        enveloped(result(INNER)).replace(SOAP_11.namespace.encode(), b"urn:soap"),
        result(INNER).encode(),
        enveloped(result(INNER))[:-1],
        enveloped(result(INNER)) + b"<a/>",
        enveloped(result(INNER)) + b"junk",
        enveloped(result("<Source>a&nbsp;b</Source>")),
        enveloped(result("<Source>a<b</Source>")),
        b"",
        b"\n",
        b"OK",
        b"{}",
    ],
)
def test_what_is_no_answer_is_not_found(body: bytes) -> None:
    """Another namespace, an empty response, a nil result, a cut body and no XML at all are no answer, either way."""
    assert MATCHER.match(body) is None
    assert by_tree(body) is None


@pytest.mark.parametrize(
    "text", ["x" * 8 * 2**20, "&amp;" * 2**20, "<a/>" * 2**16, "&#xB;" * 2**18], ids=lambda t: t[:5]
)
def test_a_large_answer_is_read(text: str) -> None:
    """Values of millions of characters, of whatever kind, end in an answer or none, by both ways."""
    body = enveloped(result(f"<Source>{text}</Source>"))
    found = MATCHER.match(body) or by_tree(body)
    assert found is not None
    assert len(orjson.loads(found.fields)["Source"]) in {8 * 2**20, 2**20, 2**18, 0}


@pytest.mark.parametrize(
    "body",
    [
        enveloped(result("<Source>" + "x" * 4_000_000)),
        enveloped(result("<Source>" + "x" * 4_000_000 + "</Sourc>")),
        enveloped(result("<Source />" * 400_000)),
        enveloped(result("<VeetroID>" + "1" * 4_000_000 + "</VeetroID>")),
        enveloped(result("".join(f"<{name}>{'1' * 400_000}</{name}>" for name in FIELDS))),
        DECLARATION.encode() + b" " * 4_000_000 + b"<x/>",
        BODY + b" \n" * 2_000_000 + b"x",
        b"<" * 4_000_000,
    ],
    ids=["open", "closing", "many", "digits", "fields", "before", "behind", "brackets"],
)
def test_a_near_miss_ends(body: bytes) -> None:
    """Four megabytes that are nearly an answer are refused by the expression without trying every way to."""
    assert MATCHER.match(body) is None


@given(at=st.integers(0, len(BODY) - 1), byte=st.integers(0, 255))
@quickly
def test_a_damaged_answer_never_raises(at: int, byte: int) -> None:
    """Any byte of an answer may be any other: it is an answer or none, and both ways say the same."""
    body = BODY[:at] + bytes([byte]) + BODY[at + 1 :]
    found = by_tree(body)
    assert MATCHER.match(body) in {None, found}


def test_a_nested_answer_is_nested_json() -> None:
    """The answer of a login keeps its structure, by both ways."""
    matcher = Matcher(load("AuthenticateWebSafe"), SOAP_12, ("EntityID",))
    name = "AuthenticateWebSafe"
    for user, expected in (("<User><EntityID>5</EntityID></User>", {"EntityID": 5}), ("", None)):
        body = enveloped(
            f'<{name}Response xmlns="{NAMESPACE}"><{name}Result><Code>Success</Code><SessionKey>k</SessionKey>{user}'
            f"</{name}Result></{name}Response>",
            SOAP_12,
        )
        found = by_tree(body, matcher)
        assert found is not None
        assert orjson.loads(found.fields) == {"Code": "Success", "SessionKey": "k", "User": expected}
        assert found.key == ("5" if expected else None,)
        assert matcher.match(body) == (found if expected else None)


def test_a_key_is_looked_for_in_its_place() -> None:
    """An unknown element that holds one of the same name does not count."""
    found = by_tree(enveloped(result("<New><SourceID>inner</SourceID></New><SourceID>own</SourceID>")))
    assert found is not None
    assert found.key == ("own", None)
