"""What the service makes of each value: the cases were observed on an ASMX service under Mono, zone UTC."""

import re
from collections.abc import Awaitable, Callable

import pytest

from batcher.sandbox import Sandbox

Envelope = Callable[..., str]
Post = Callable[..., Awaitable[tuple[int, dict[str, str], str]]]


def _value(text: str, name: str) -> str | None:
    """The field's text in an answer; None where its element is absent."""
    match = re.search(f"<{name}(?: />|>(.*?)</{name}>)", text, re.DOTALL)
    return None if match is None else match[1] or ""


READ = [
    ("VeetroID", "+1", "1"),
    ("VeetroID", "\n-1\t", "-1"),
    ("VeetroID", "00012", "12"),
    ("VeetroID", "-0", "0"),
    ("VeetroID", "&#49;", "1"),
    ("VeetroID", "<![CDATA[5]]>", "5"),
    ("VeetroID", "2147483647", "2147483647"),
    ("VeetroID", "-2147483648", "-2147483648"),
    ("Delete", "1", "true"),
    ("Delete", " true ", "true"),
    ("Delete", "0", "false"),
    ("CurrentStatus", "InProgress", "InProgress"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56", "2024-02-29T12:34:56"),
    ("RemoteTimeStamp", " 2024-02-29T12:34:56Z\n", "2024-02-29T12:34:56Z"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56z", "2024-02-29T12:34:56Z"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56.120Z", "2024-02-29T12:34:56.12Z"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56.123456789Z", "2024-02-29T12:34:56.1234568Z"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56.12345665Z", "2024-02-29T12:34:56.1234566Z"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56.12345675Z", "2024-02-29T12:34:56.1234568Z"),
    ("RemoteTimeStamp", "2023-12-31T23:59:59.99999999Z", "2024-01-01T00:00:00Z"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56-05:30", "2024-02-29T18:04:56+00:00"),
    ("RemoteTimeStamp", "2024-02-29T12:34:56+24:00", "2024-02-28T12:34:56+00:00"),
    ("RemoteTimeStamp", "2024-02-29", "2024-02-29T00:00:00"),
    ("RemoteTimeStamp", "2024-02", "2024-02-01T00:00:00"),
    ("RemoteTimeStamp", "--02-29", "1904-02-29T00:00:00"),
    ("RemoteTimeStamp", "0001-01-01T00:00:00+02:00", "0001-01-01T00:00:00+00:00"),
    ("RemoteTimeStamp", "9999-12-31T23:59:59-02:00", "9999-12-31T23:59:59.9999999+00:00"),
    ("Source", "", ""),
    ("Source", "  ", "  "),
    ("Source", "a\r\nb\rc", "a\nb\nc"),
    ("Source", "a&#xD;b", "a\rb"),
    ("Source", "a&gt;&lt;&amp;&quot;&apos;", "a&gt;&lt;&amp;\"'"),
    ("Source", "<![CDATA[a<b>&amp;]]>", "a&lt;b&gt;&amp;amp;"),
    ("Source", "é☃&#x1F600;\u2028\x7f", "é☃\N{GRINNING FACE}\u2028\x7f"),
]


@pytest.mark.parametrize(("name", "sent", "answered"), READ)
async def test_a_value_is_read_and_printed_as_dotnet_does(
    sandbox: Sandbox, post: Post, envelope: Envelope, name: str, sent: str, answered: str
) -> None:
    """The answer holds the value in the server's own form, and what was stored is the same."""
    status, _, text = await post(sandbox, envelope(f"<{name}>{sent}</{name}>"))
    assert (status, _value(text, name)) == (200, answered)
    assert sandbox.stats().applied == {"": 1}


NOT_INT = "Input string was not in a correct format."
TOO_BIG = "Value was either too large or too small for an Int32."
REFUSED = [
    ("VeetroID", "", NOT_INT),
    ("VeetroID", "1.0", NOT_INT),
    ("VeetroID", "\N{ARABIC-INDIC DIGIT ONE}", NOT_INT),
    ("VeetroID", "\u00a01", NOT_INT),
    ("VeetroID", "2147483648", TOO_BIG),
    ("VeetroID", "9" * 5000, TOO_BIG),
    ("Delete", "True", "The string 'True' is not a valid Boolean value."),
    ("Delete", "", "The string '' is not a valid Boolean value."),
    ("CurrentStatus", " NA ", "Instance validation error: ' NA ' is not a valid value for SyncStatus."),
    ("CurrentStatus", "na", "Instance validation error: 'na' is not a valid value for SyncStatus."),
    ("RemoteTimeStamp", "", "The string '' is not a valid AllXsd value."),
    ("RemoteTimeStamp", "2024-02-29 12:34:56", "The string '2024-02-29 12:34:56' is not a valid AllXsd value."),
    ("RemoteTimeStamp", "2024-02-29T12:34", "The string '2024-02-29T12:34' is not a valid AllXsd value."),
    ("RemoteTimeStamp", "2023-02-29T00:00:00", "The string '2023-02-29T00:00:00' is not a valid AllXsd value."),
    ("RemoteTimeStamp", "2024-01-01T24:00:00", "The string '2024-01-01T24:00:00' is not a valid AllXsd value."),
    ("RemoteTimeStamp", "2024-02-29T12:34:56.Z", "The string '2024-02-29T12:34:56.Z' is not a valid AllXsd value."),
]


@pytest.mark.parametrize(("name", "sent", "why"), REFUSED)
async def test_a_value_that_cannot_be_read_is_a_client_fault(
    sandbox: Sandbox, post: Post, envelope: Envelope, name: str, sent: str, why: str
) -> None:
    """The fault names the position behind the element, never the field, and nothing is applied."""
    fields = f"<{name}>{sent}</{name}>"
    status, _, text = await post(sandbox, envelope(fields))
    start = envelope("").index("</Record>")
    column = start + len(fields) + len("</") + 1
    assert status == 500
    assert "<faultcode>soap:Client</faultcode>" in text
    assert (
        "<faultstring>Server was unable to read request. ---&gt; There is an error in XML document "
        f"(1, {column}). ---&gt; {why}</faultstring><detail /></soap:Fault>"
    ) in text
    assert sandbox.stats().applied == {}


@pytest.mark.parametrize("name", ["VeetroID", "Delete", "RemoteTimeStamp", "CurrentStatus"])
async def test_a_nil_value_type_is_a_client_fault(sandbox: Sandbox, post: Post, envelope: Envelope, name: str) -> None:
    """xsi:nil is not looked at: the element is empty."""
    status, _, text = await post(sandbox, envelope(f'<{name} xsi:nil="true" />'))
    assert (status, "soap:Client" in text) == (500, True)


@pytest.mark.parametrize(
    "sent", ["a&#xB;b", "a\x01b", "a&#xFFFF;b", "a\uffffb", "a&nbsp;b", "a]]>b", "a & b", "&#xD800;"]
)
async def test_text_that_xml_forbids_kills_the_call(
    sandbox: Sandbox, post: Post, envelope: Envelope, sent: str
) -> None:
    """400, `Content-Length: 0`, nothing applied."""
    status, headers, text = await post(sandbox, envelope(f"<Source>{sent}</Source>"))
    assert (status, headers["Content-Length"], text) == (400, "0", "")
    assert sandbox.stats().applied == {}


DROPPED = [
    ("<Foo>1</Foo><veetroid>1</veetroid>", {}),
    ('<VeetroID xmlns="">1</VeetroID><VeetroID xmlns="urn:x">1</VeetroID>', {}),
    (
        "<VeetroID>1</VeetroID><VeetroID>x</VeetroID><Source>a</Source><Source>b</Source>",
        {"VeetroID": 1, "Source": "a"},
    ),
    ("<VeetroID>1</VeetroID><ImportSyncRecordID>7</ImportSyncRecordID>", {"VeetroID": 1, "ImportSyncRecordID": 7}),
    ("<Source><b>y</b></Source><SourceID>S</SourceID>", {"Source": "y"}),
    ("hi<VeetroID>5</VeetroID><!-- c --><?p?>text<SourceID>S</SourceID>", {"VeetroID": 5, "SourceID": "S"}),
]


@pytest.mark.parametrize(("fields", "kept"), DROPPED)
async def test_what_the_service_does_not_know_is_dropped_without_a_word(
    sandbox: Sandbox, post: Post, envelope: Envelope, fields: str, kept: dict[str, object]
) -> None:
    """Typos, wrong namespaces, second elements and what follows an unescaped tag are lost; the rest has its default."""
    status, _, _ = await post(sandbox, envelope(fields))
    (record,) = sandbox.records
    expected = {
        "ImportSyncRecordID": 981, "VeetroID": 0, "EntityID_Owner": 0, "VeetroType": None, "VeetroIDStr": None,
        "Source": None, "SourceID": None, "SyncIdentifier": None, "SourceType": None, "SourceName": None,
        "ApplyAction": 0, "ApplyValues": None, "RemoteTimeStamp": "0001-01-01T00:00:00", "Delete": False,
        "CurrentStatusId": 0, "Retried": 0, "LocalTimeStamp": "0001-01-01T00:00:00", "ErrorMsg": None,
        "DateLastModifiedRemoteUtc": "0001-01-01T00:00:00", "DateLastModifiedLocalUtc": "0001-01-01T00:00:00",
        "CurrentStatus": "NA",
    }  # fmt: skip
    assert (status, record) == (200, expected | kept)


async def test_ids_are_given_to_records_without_one(sandbox: Sandbox, post: Post, envelope: Envelope) -> None:
    """0 gets the next id from 981 on, another id comes back as it is."""
    answers = [
        await post(sandbox, envelope(f"<ImportSyncRecordID>{number}</ImportSyncRecordID>")) for number in (0, 5, 0)
    ]
    assert [_value(text, "ImportSyncRecordID") for _, _, text in answers] == ["981", "5", "982"]
