from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batcher
from batcher.core.document import Document
from batcher.core.soap import SOAP_11
from tests.core.answers import INNER, NULLS, by_tree, enveloped, fields_of, result
from tests.core.samples import VALID, answer, quickly, texts


@pytest.mark.parametrize(
    ("encoding", "codec"), [("utf-16", "utf-16"), ("iso-8859-1", "latin-1"), ("utf-8", "utf-8-sig")]
)
def test_an_answer_may_have_another_encoding(encoding: str, codec: str) -> None:
    """What the declaration or the byte order mark says is believed."""
    text = answer(VALID | {"Source": "café"}, SOAP_11).decode().replace("utf-8", encoding)
    found = by_tree(text.encode(codec))
    assert found is not None
    assert orjson.loads(found.fields)["Source"] == "café"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a&#xB;b", "a\x0bb"),
        ("a&#x1;b", "a\x01b"),
        ("a&#11;b", "a\x0bb"),
        ("&#x0B;&#x1f;&#0;", "\x0b\x1f\x00"),
        ("a\x0bb", "a\x0bb"),
        ("a\x00b\x1f", "a\x00b\x1f"),
        ("&#xB;&#x9;&#xD;&#65;&#x1F600;&amp;", "\x0b\t\rA\U0001f600&"),
        ("&#xB;&#xFFFE;&#xD800;&#65535;&#x110000;", "\x0b\ufffd\ufffd\ufffd\ufffd"),
        ("\ufffe\uffff", "\ufffd\ufffd"),
        ("\U0010ff0b", "\U0010ff0b"),
        ("\U0010ff0b&#xB;", "\U0010ff0b\ufffd"),
        ("&#x10FF0B;", "\U0010ff0b"),
        ("&#x10FF0B;&#xB;", "\ufffd\x0b"),
    ],
)
def test_a_character_that_xml_forbids_makes_no_answer_unreadable(written: str, read: str) -> None:
    """References and raw characters that no parser takes are read as what they are, where there is a way to."""
    found = by_tree(enveloped(result(f"<Source>{written}</Source><SourceID>{written}</SourceID>")))
    assert found is not None
    assert orjson.loads(found.fields)["Source"] == read
    assert found.key == (read, None)


@quickly
@given(before=texts, after=texts, code=st.sampled_from([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20)]))
def test_the_text_around_a_forbidden_character_stays(before: str, after: str, code: int) -> None:
    """Whatever else a value holds, it is there; at worst the forbidden character itself is U+FFFD."""
    before, after = (text.replace("\r", "").replace("§", "") for text in (before, after))
    body = answer(NULLS | {"Source": f"{before}§{after}"}, SOAP_11).replace("§".encode(), b"&#x%X;" % code)
    assert fields_of(body)["Source"] in {f"{before}{chr(code)}{after}", f"{before}\ufffd{after}"}


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


HARMFUL = {
    "doctype": enveloped(result(INNER), start="<!DOCTYPE x>"),
    "entity": enveloped(result("<Source>&e;</Source>"), start='<!DOCTYPE x [<!ENTITY e "text">]>'),
    "file": enveloped(result("<Source>&e;</Source>"), start='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
    "dtd": enveloped(result(INNER), start='<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'),
    "laughs": enveloped(result("<Source>&l9;</Source>"), start=f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'),
    "attribute": enveloped(result('<Source a="&l9;">x</Source>'), start=f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'),
    "quadratic": enveloped(
        result("<Source>" + "&e;" * 10_000 + "</Source>"), start=f'<!DOCTYPE x [<!ENTITY e "{"x" * 100_000}">]>'
    ),
    "open": b"<a>" * 200_000,
    "tags": enveloped("<a/>" * 150_000),
    "distinct tags": enveloped("".join(f"<a{number}/>" for number in range(150_000))),
    "forbidden characters": enveloped("&#xB;" * 500_000),
    "deep": b"<a>" * 300 + b"</a>" * 300,
    "deep in a body": enveloped("<a>" * 5000 + "</a>" * 5000),
}


@pytest.mark.parametrize("body", HARMFUL.values(), ids=HARMFUL)
def test_what_would_harm_a_parser_is_no_document(body: bytes) -> None:
    """Document types, whatever they hold, and bottomless nesting are refused."""
    assert Document.parse(body) is None


def test_what_would_harm_a_parser_takes_no_memory(tmp_path: Path) -> None:
    """All of it is read by a process that may have half a gigabyte, of which the expanded entities would be a part."""
    for number, body in enumerate(HARMFUL.values()):
        (tmp_path / f"{number}.xml").write_bytes(body)
    program = (
        "import pathlib, resource, sys\n"
        "from batcher.core.document import Document\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"
        "print([Document.parse(path.read_bytes()) for path in pathlib.Path(sys.argv[1]).iterdir()])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(batcher.__file__).parents[1],
    )
    assert done.stdout == f"{[None] * len(HARMFUL)}\n"


@quickly
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_any_bytes_are_a_document_or_none(body: bytes) -> None:
    """Nothing raises, whatever comes in place of a document, or in the middle of an answer."""
    assert by_tree(body) is None
    by_tree(enveloped(result(INNER)).replace(b"<Source>x", b"<Source>" + body))
    by_tree(body + enveloped(result(INNER)))
    by_tree(b'<?xml version="1.0" encoding="' + body + b'"?>' + enveloped(result(INNER), start=""))


@pytest.mark.parametrize(
    "body", [b"<Envelope/>", b"<Envelope><Body/></Envelope>", b'<Envelope xmlns="a"><Body/></Envelope>']
)
def test_an_envelope_of_no_version_has_no_body(body: bytes) -> None:
    """Nor one without a namespace."""
    document = Document.parse(body)
    assert document is not None
    assert document.body is None
