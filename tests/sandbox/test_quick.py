"""The short cut for usual requests reads exactly what the faithful reader reads."""

from hypothesis import given
from hypothesis import strategies as st

from batcher.sandbox.answers import SOAP_11
from batcher.sandbox.envelope import read_record
from batcher.sandbox.fields import FIELDS, INDEX
from batcher.sandbox.quick import quick_record
from batcher.sandbox.reader import Reader

TEXTS = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                "é",
                "\N{GRINNING FACE}",
                "&amp;",
                "&lt;",
                "&gt;",
                "&quot;",
                "&#xD;",
                "&#10;",
                "&#x9;",
                " ",
                "\n",
                "\t",
            ),
            *(
                "1",
                "-7",
                "true",
                "NA",
                "2024-02-29T12:34:56.5Z",
                "2024-02-29T12:34:56+01:00",
                ">",
                '"',
                "\u00a0",
                "\x7f",
            ),
            *("\r", "&", "&#xB;", "&#65;", "]]>", "\x01", "\uffff", "<b/>", "<!-- -->", "<![CDATA[x]]>", "\u2028"),
        ]
    ),
    max_size=3,
).map("".join)
VALUES = {"int": "7", "boolean": "1", "dateTime": "2024-02-29T12:34:56Z", "enum": "Completed"}
SHAPES = st.sampled_from(
    ["<{0}>{1}</{0}>", "<{0} />", "<{0}/>", "<{0}>{2}</{0}>", "<{0}x>{1}</{0}x>", " <{0}>{1}</{0}>"]
)
FIELD = st.builds(
    lambda name, shape, text: shape.format(name, text, VALUES.get(FIELDS[name], text)),
    st.sampled_from(list(FIELDS)),
    SHAPES,
    TEXTS,
)


def _envelope(fields: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<SetOutlookSyncRecord xmlns="http://schema.veetro.com"><Record>{fields}</Record></SetOutlookSyncRecord>'
        "</s:Body></s:Envelope>"
    )


@given(st.lists(FIELD, max_size=6).map("".join))
def test_quick_and_faithful_readers_agree(fields: str) -> None:
    """Whatever the short cut takes, the faithful reader takes to the same record."""
    quick = quick_record(_envelope(fields))
    if quick is not None:
        assert quick == (SOAP_11, read_record(Reader(_envelope(fields)), SOAP_11))


def test_the_usual_request_takes_the_short_cut() -> None:
    """All 21 fields, escaped text, a line break, an empty string: no parser is needed."""
    fields = "".join(f"<{name}>{VALUES.get(kind, 'a&amp;&#xD;' + chr(10))}</{name}>" for name, kind in FIELDS.items())
    quick = quick_record(_envelope(fields))
    assert quick is not None
    assert quick[1][INDEX["Source"]] == "a&\r\n"
    assert quick[1][INDEX["RemoteTimeStamp"]] == "2024-02-29T12:34:56Z"
