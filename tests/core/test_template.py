from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from batcher.core.answer import Matcher
from batcher.core.document import Document
from batcher.core.leaf import is_plain
from batcher.core.soap import SOAP_11, SOAP_12, Soap
from batcher.core.template import MAX_ENVELOPE, Operation, Template
from batcher.errors import RecordError, SettingsError, TemplateError
from batcher.operations import load
from tests.core.samples import (
    FIELDS,
    NAMESPACE,
    SET_RECORD,
    STRINGS,
    VALID,
    as_text,
    characters,
    envelope,
    quickly,
    record,
    records,
)

VERSIONS = [SOAP_11, SOAP_12]

NOTE = b"""<?xml version="1.0"?><?made up?>
<operation soap-action="urn:notes/Add" creates-when-zero="Id" order-by="Topic">
  <request>
    <Add xmlns="urn:notes">
      <Id> int </Id><!-- a remark -->
      <Note><Text>string</Text><Kind xmlns="urn:kinds">Short or
        Long</Kind></Note>
      <Topic>string</Topic>
    </Add>
  </request>
  <response><AddResponse xmlns="urn:notes"><AddResult>string</AddResult></AddResponse></response>
</operation>"""


def envelope_of(values: dict[str, Any], soap: Soap = SOAP_11, **defaults: Any) -> str:
    return Template(SET_RECORD, soap, defaults).render(values)[0].decode()


def refused(values: dict[str, Any], **defaults: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        envelope_of(values, **defaults)
    return caught.value


@pytest.mark.parametrize(
    ("soap", "prefix", "namespace"),
    [
        (SOAP_11, "soap", "http://schemas.xmlsoap.org/soap/envelope/"),
        (SOAP_12, "soap12", "http://www.w3.org/2003/05/soap-envelope"),
    ],
    ids=["1.1", "1.2"],
)
def test_an_envelope_is_the_samples_letter_by_letter(soap: Soap, prefix: str, namespace: str) -> None:
    """With the type's name as every value, the envelope is the sample of the vendor's help page, line breaks aside."""
    leaves = "".join(f"<{name}>{kind}</{name}>" for name, kind in FIELDS.items())
    found = envelope_of(VALID | dict.fromkeys(STRINGS, "string"), soap)
    for name, kind in FIELDS.items():
        found = re.sub(f"<{name}>.*?</{name}>", f"<{name}>{kind}</{name}>", found)
    assert found == (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<{prefix}:Envelope xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:{prefix}="{namespace}"><{prefix}:Body>'
        f'<SetOutlookSyncRecord xmlns="http://schema.veetro.com"><Record>{leaves}</Record></SetOutlookSyncRecord>'
        f"</{prefix}:Body></{prefix}:Envelope>"
    )


def test_the_operation_has_the_vendors_fields() -> None:
    """21 fields in the order of the help page, with its types."""
    assert list(FIELDS) == list(VALID)
    assert [name for name, kind in FIELDS.items() if kind == "int"] == [
        *("ImportSyncRecordID", "VeetroID", "EntityID_Owner", "ApplyAction", "CurrentStatusId", "Retried")
    ]
    assert [name for name, kind in FIELDS.items() if kind == "dateTime"] == [
        *("RemoteTimeStamp", "LocalTimeStamp", "DateLastModifiedRemoteUtc", "DateLastModifiedLocalUtc")
    ]
    assert (FIELDS["Delete"], FIELDS["CurrentStatus"]) == ("boolean", "NA or InProgress or Completed")
    assert len(STRINGS) == 9
    assert (SET_RECORD.creates_when_zero, SET_RECORD.order_by) == ("ImportSyncRecordID", "SourceID")
    assert SET_RECORD.action == "http://schema.veetro.com/SetOutlookSyncRecord"


@pytest.mark.parametrize("soap", VERSIONS, ids=lambda soap: soap.version)
def test_the_action_is_a_header_of_soap_1_1_alone(soap: Soap) -> None:
    """Content types to the letter; SOAPAction in quotes for 1.1, none for 1.2."""
    headers = {
        "1.1": {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{SET_RECORD.action}"'},
        "1.2": {"Content-Type": "application/soap+xml; charset=utf-8"},
    }
    assert soap.headers(SET_RECORD.action) == headers[soap.version]


@pytest.mark.parametrize("soap", VERSIONS, ids=lambda soap: soap.version)
@quickly
@given(values=records)
def test_an_envelope_reads_back_as_the_record(soap: Soap, values: dict[str, Any]) -> None:
    """An XML parser finds each value as it was given, CR included, in the sample's order; null strings are absent."""
    sent, strings = Template(SET_RECORD, soap).render(values)
    root = etree.fromstring(sent)
    assert root.tag == f"{{{soap.namespace}}}Envelope"
    given = root[0][0][0]
    assert [str(element.tag) for element in root[0].iter()] == [
        *(f"{{{soap.namespace}}}Body", f"{{{NAMESPACE}}}SetOutlookSyncRecord", f"{{{NAMESPACE}}}Record"),
        *(f"{{{NAMESPACE}}}{name}" for name in FIELDS if values[name] is not None),
    ]
    found = {etree.QName(element).localname: element.text or "" for element in given}
    assert found == {name: as_text(value) for name, value in values.items() if value is not None}
    assert strings == sum(isinstance(value, str) for value in values.values())


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    st.text(characters),
    st.sampled_from(sorted(VALID.values(), key=str)),
)


@pytest.mark.parametrize("defaults", [{}, {"SourceName": "none", "Retried": 3}], ids=["no defaults", "defaults"])
@quickly
@given(
    values=records,
    changes=st.dictionaries(st.sampled_from([*FIELDS, "Extra"]), anything, max_size=2),
    without=st.sets(st.sampled_from(STRINGS), max_size=3),
)
def test_the_quick_way_writes_what_the_careful_one_does(
    defaults: dict[str, Any], values: dict[str, Any], changes: dict[str, Any], without: set[str]
) -> None:
    """For whatever record: the quick way makes the careful way's envelope, or leaves the record to it."""
    template = Template(SET_RECORD, SOAP_11, defaults)
    values = {name: value for name, value in (values | changes).items() if name not in without}
    line = json.dumps(values, ensure_ascii=False).encode(errors="backslashreplace")
    for plain in {False, is_plain(line)}:
        quick = template._quick(values, plain)
        if quick is not None:
            assert quick == template._render_carefully(values)


def test_a_usual_record_goes_the_quick_way() -> None:
    """All fields given, strings perhaps as null, as nearly all records are: no leaf is looked at by itself."""
    template = Template(SET_RECORD, SOAP_11)
    day = "2024-05-31T09:30:00Z"
    for message in ("none", "", None):
        usual = record(LocalTimeStamp=day, DateLastModifiedRemoteUtc=day, ErrorMsg=message)
        for plain in (False, True):
            assert template._quick(usual, plain) == template._render_carefully(usual)
    assert template._quick(record("ErrorMsg", LocalTimeStamp=day, DateLastModifiedRemoteUtc=day), True) is None


def test_an_absent_string_is_left_out_and_an_empty_one_is_not() -> None:
    """Left out means null to the service, an empty element the empty string."""
    sent = envelope_of(record("Source", SourceID=None, SourceName=""))
    assert "<Source>" not in sent
    assert "<SourceID>" not in sent
    assert "<SourceName></SourceName>" in sent


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in STRINGS])
def test_a_value_must_be_there_unless_it_is_a_string(name: str) -> None:
    """The service would make 0, false, year 1 or the first member of it."""
    absent, null = refused(record(name)), refused(record(**{name: None}))
    assert (absent.kind, absent.field, null.kind, null.field) == ("missing_field", name, "missing_field", name)
    assert absent.message.startswith("is missing")
    assert null.message.startswith("is null")
    assert absent.message.endswith(f"give a value, or --default {name}=VALUE")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SourceId", "unknown field; did you mean SourceID?"),
        ("currentstatus", "unknown field; did you mean CurrentStatus?"),
        ("", "unknown field; SetOutlookSyncRecord has no such field"),
        ("qqq", "unknown field; SetOutlookSyncRecord has no such field"),
        ("x" * 1000, "unknown field; SetOutlookSyncRecord has no such field"),
    ],
)
@pytest.mark.parametrize("value", [1, None])
def test_an_unknown_field_is_refused(name: str, message: str, value: int | None) -> None:
    """The service would drop it without a word; even a null one is a typo."""
    found = refused(record(**{name: value}))
    assert (found.kind, found.field, found.message) == ("unknown_field", name[:200], message)


def test_an_unknown_field_is_told_before_anything_else() -> None:
    """A misspelt field leaves the right one missing: the typo is the news. Then the sample's order decides."""
    assert refused(record("VeetroID", Veetroid=5, Retried="x")).field == "Veetroid"
    assert refused(record(Veetroid=5, ImportSyncRecordID="x")).field == "Veetroid"
    assert refused(record("CurrentStatus", Retried=0.5, Delete="x")).field == "Delete"


def test_an_envelope_of_4096_kib_is_the_largest() -> None:
    """The bound counts bytes, not characters, of the whole envelope."""
    room = MAX_ENVELOPE - len(envelope_of(record(Source="")).encode())
    assert room % 2 == 0
    assert len(envelope_of(record(Source="é" * (room // 2))).encode()) == MAX_ENVELOPE
    found = refused(record(Source="é" * (room // 2) + "e"))
    assert (found.kind, found.field) == ("envelope_too_large", None)
    assert "4194305 bytes" in found.message


def test_defaults_fill_what_a_record_lacks() -> None:
    """From text or typed, for absent and null alike, strings too; a value in the record goes first."""
    template = Template(
        SET_RECORD,
        SOAP_11,
        {"Retried": "7", "Delete": True, "ApplyAction": 3, "Source": "a<b", "CurrentStatus": "NA", "ErrorMsg": " "},
    )
    sent, strings = template.render(record("Retried", "Source", "CurrentStatus", Delete=None, ErrorMsg=None))
    for expected in (
        *("<Retried>7</Retried>", "<Delete>true</Delete>", "<ApplyAction>1</ApplyAction>"),
        *("<Source>a&lt;b</Source>", "<CurrentStatus>NA</CurrentStatus>", "<ErrorMsg>&#32;</ErrorMsg>"),
    ):
        assert expected.encode() in sent
    assert strings == 11, "strings that are in the record, not those of the defaults"
    assert template.defaults["Retried"] == 7


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Sourceid", "x", "--default: SetOutlookSyncRecord has no field Sourceid; did you mean SourceID?"),
        ("Retried", "many", '--default: Retried: "many" is no whole number'),
        ("Retried", "3000000000", "--default: Retried: 3000000000 is not within"),
        ("Retried", 1.5, "--default: Retried: must be a whole number, not 1.5"),
        ("Delete", "yes", '--default: Delete: "yes" is not true or false'),
        ("Source", 5, "--default: Source: must be a string, not 5"),
        ("Source", "\x00", "--default: Source: character 1 is U+0000"),
        (
            "CurrentStatus",
            "na",
            '--default: CurrentStatus: "na" is none of NA, InProgress, Completed; did you mean NA?',
        ),
        ("RemoteTimeStamp", "now", '--default: RemoteTimeStamp: "now" is no yyyy-MM-ddTHH:mm:ss'),
    ],
)
def test_a_default_must_be_a_value_of_its_field(name: str, value: Any, message: str) -> None:
    """A default that no record could have is an error of the settings."""
    with pytest.raises(SettingsError) as caught:
        Template(SET_RECORD, SOAP_11, {name: value})
    assert str(caught.value).startswith(message)


def test_a_file_is_all_that_an_operation_needs() -> None:
    """Namespaces, nesting and layout of a made-up operation come out as they went in; its answer is found both ways."""
    operation = Operation.parse(NOTE)
    assert [(leaf.name, leaf.type.name) for leaf in operation.leaves] == [
        *(("Id", "int"), ("Text", "string"), ("Kind", "Short or Long"), ("Topic", "string"))
    ]
    assert (operation.name, operation.action, operation.creates_when_zero) == ("Add", "urn:notes/Add", "Id")
    sent, _ = Template(operation, SOAP_12).render({"Id": 5, "Text": "x & y", "Kind": "Long"})
    assert sent.decode() == (
        f"{SOAP_12.opening()}"
        '<Add xmlns="urn:notes"><Id>5</Id><Note><Text>x &amp; y</Text><Kind xmlns="urn:kinds">Long</Kind></Note></Add>'
        f"{SOAP_12.closing()}"
    )
    body = envelope(SOAP_12, '<AddResponse xmlns="urn:notes"><AddResult>done</AddResult></AddResponse>')
    matcher = Matcher(operation, SOAP_12, ("Topic",))
    document = Document.parse(body)
    assert document is not None
    found = matcher.find(document)
    assert found is not None
    assert (found.fields, found.key) == (b'"done"', (None,))
    assert matcher.match(body) == found
    empty = envelope(SOAP_12, '<AddResponse xmlns="urn:notes"></AddResponse>')
    assert matcher.match(empty) is None, "a response without its result is no answer, though it be a string"


def test_the_login_is_a_file_like_any_other() -> None:
    """AuthenticateWebSafe sends name and password, escaped."""
    sent, _ = Template(load("AuthenticateWebSafe"), SOAP_11).render({"email": "a@b", "pass": "<&>"})
    assert sent.decode() == (
        f'{SOAP_11.opening()}<AuthenticateWebSafe xmlns="http://schema.veetro.com"><email>a@b</email>'
        f"<pass>&lt;&amp;&gt;</pass></AuthenticateWebSafe>{SOAP_11.closing()}"
    )


GOOD = '<operation soap-action="a"><request>{}</request><response>{}</response></operation>'
LEAF = "<X><A>int</A></X>"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "not well-formed"),
        ("<operation>", "not well-formed"),
        (f"<operation soap-action='a'><request>{LEAF}</request></operation>", "must have <response>"),
        (f"<operation soap-action='a'><response>{LEAF}</response></operation>", "must have <request>"),
        (GOOD.format("", LEAF), "must have <request> with one element"),
        (GOOD.format(LEAF + LEAF, LEAF), "must have <request> with one element"),
        (GOOD.format("<X><A>Int</A></X>", LEAF), "'Int' is no type of a leaf"),
        (GOOD.format("<X><A>int</A><B/></X>", LEAF), "'' is no type of a leaf"),
        (GOOD.format("<X><A>int</A><B><A>int</A></B></X>", LEAF), "A stands twice in the request"),
        (GOOD.format("<X><A b='c'>int</A></X>", LEAF), "<A> has attributes"),
        (GOOD.format("<X b='c'><A>int</A></X>", LEAF), "<X> has attributes"),
        (GOOD.format(LEAF, "<Y><A>float</A></Y>"), "'float' is no type of a leaf"),
        (GOOD.format(LEAF, "<Y><A>int</A><B>int</B></Y>"), "the response must have one element"),
        (GOOD.format(LEAF, LEAF).replace('soap-action="a"', ""), "no soap-action"),
        (GOOD.format(LEAF, LEAF).replace('"a"', '""'), "no soap-action"),
        (GOOD.format(LEAF, LEAF).replace('"a"', '"a" order-by="B"'), "B is no field of the request"),
        (GOOD.format(LEAF, LEAF).replace('"a"', '"a" creates-when-zero="B"'), "B is no field of the request"),
    ],
)
def test_a_file_of_another_form_is_an_error(source: str, message: str) -> None:
    """What cannot be compiled is told at the start, not with the first record."""
    with pytest.raises(TemplateError) as caught:
        Operation.parse(source.encode())
    assert message in str(caught.value)


def test_an_operation_may_answer_without_a_result() -> None:
    """A void operation's response is empty: that it is there is the answer, and an empty object its fields."""
    operation = Operation.parse(GOOD.format(LEAF, '<XResponse xmlns="urn:x" />').encode())
    matcher = Matcher(operation, SOAP_11)
    for printed in (
        '<XResponse xmlns="urn:x" />',
        '<XResponse xmlns="urn:x"/>',
        '<XResponse xmlns="urn:x"></XResponse>',
    ):
        body = envelope(SOAP_11, printed)
        document = Document.parse(body)
        assert document is not None
        found = matcher.find(document)
        assert found is not None
        assert found.fields == b"{}"
        assert matcher.match(body) == found
