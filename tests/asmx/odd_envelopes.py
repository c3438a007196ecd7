"""Odd requests, and what a real ASMX server was seen to make of each.

A case is one raw HTTP request. Its *expected* is the text of the observation; ``…`` in fault texts stands for what
differs from server to server. Each table varies one thing: the headers, the document, the fields of the Record, the
text of one leaf.
"""

from dataclasses import dataclass

from tests.asmx import odd_values
from tests.asmx.observation import DEFAULTS

ACTION = "http://schema.veetro.com/SetOutlookSyncRecord"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
XML11 = ("Content-Type", "text/xml; charset=utf-8")
XML12 = ("Content-Type", "application/soap+xml; charset=utf-8")
ROUTE = ("SOAPAction", f'"{ACTION}"')
LOGIN = ("SOAPAction", '"http://schema.veetro.com/AuthenticateWebSafe"')

Headers = tuple[tuple[str, str], ...]

EMPTY_400 = "400 empty"
EMPTY_415 = "415 empty"
FAULT = "500 SOAP 1.1"
NO_RESULT = "200 SOAP 1.1 SetOutlookSyncRecordResponse {}"
NOT_READ = "Server was unable to read request. --->"
IN_DOCUMENT = f"{NOT_READ} There is an error in XML document (…). --->"
NO_ACTION = "Unable to handle request without a valid action parameter. Please supply a valid soap action."
WRONG_ACTION = f"{FAULT} Client: Server did not recognize the value of HTTP Header …"
MISMATCH = f"{FAULT} with a Header VersionMismatch: Possible SOAP version mismatch: …"
NOT_UNDERSTOOD = "MustUnderstand: SOAP header … was not understood."
NO_INT = "Input string was not in a correct format."
NO_INT32 = "Value was either too large or too small for an Int32."


@dataclass(frozen=True)
class Case:
    """One request and the text of what comes back."""

    name: str
    body: bytes
    expected: str
    headers: Headers = (XML11, ROUTE)
    method: str = "POST"


def envelope(inside: str, soap: str = SOAP11) -> str:
    """An envelope with *inside* in its Body."""
    declaration = '<?xml version="1.0" encoding="utf-8"?>'
    return f'{declaration}<soap:Envelope xmlns:soap="{soap}"><soap:Body>{inside}</soap:Body></soap:Envelope>'


def method(inside: str) -> str:
    """The operation's element."""
    return f'<SetOutlookSyncRecord xmlns="http://schema.veetro.com">{inside}</SetOutlookSyncRecord>'


def record(fields: str, soap: str = SOAP11) -> str:
    """An envelope of the operation with *fields* inside the Record."""
    return envelope(method(f"<Record>{fields}</Record>"), soap)


def saved(version: str = "1.1", **fields: str) -> str:
    """The expected text of a success whose fields are these, in the operation's order."""
    told = {"ImportSyncRecordID": "new"} | {name: text for name, text in fields.items() if text not in DEFAULTS}
    return f"200 SOAP {version} SetOutlookSyncRecordResponse {told}"


def refused(why: str) -> str:
    """The expected text of a Client fault for a value that cannot be read."""
    return f"{FAULT} Client: {IN_DOCUMENT} {why}"


S = "<SourceID>S</SourceID>"
PLAIN = record(f"{S}<ErrorMsg>\u00e4</ErrorMsg>")
PLAIN12 = record(f"{S}<ErrorMsg>\u00e4</ErrorMsg>", SOAP12)
SAVED = saved(SourceID="S", ErrorMsg="\u00e4")
SAVED12 = saved("1.2", SourceID="S", ErrorMsg="\u00e4")
DAMAGED = saved(SourceID="S", ErrorMsg="??")


def _action(value: str) -> Headers:
    return (XML11, ("SOAPAction", value))


def _type(value: str) -> Headers:
    return (("Content-Type", value), ROUTE)


# How a request is routed: name, headers, envelope, expected.
HEADERS: tuple[tuple[str, Headers, str, str], ...] = (
    ("as documented", (XML11, ROUTE), PLAIN, SAVED),
    ("1.2 as documented", (XML12,), PLAIN12, SAVED12),
    ("1.2 action", (("Content-Type", f'{XML12[1]}; action="{ACTION}"'),), PLAIN12, SAVED12),
    ("1.2 wrong action", (("Content-Type", f'{XML12[1]}; action="urn:other"'),), PLAIN12, SAVED12),
    ("1.2 SOAPAction too", (XML12, ROUTE), PLAIN12, SAVED12),
    ("1.2 no charset", (("Content-Type", "application/soap+xml"),), PLAIN12, SAVED12),
    ("no SOAPAction", (XML11,), PLAIN, SAVED),
    ("unquoted SOAPAction", _action(ACTION), PLAIN, SAVED),
    ("empty SOAPAction", _action('""'), PLAIN, WRONG_ACTION),
    ("SOAPAction without value", _action(""), PLAIN, WRONG_ACTION),
    ("wrong SOAPAction", _action('"urn:other"'), PLAIN, WRONG_ACTION),
    ("SOAPAction in other case", _action(f'"{ACTION.lower()}"'), PLAIN, WRONG_ACTION),
    ("SOAPAction in single quotes", _action(f"'{ACTION}'"), PLAIN, WRONG_ACTION),
    ("SOAPAction with blank", _action(f'" {ACTION}"'), PLAIN, WRONG_ACTION),
    ("SOAPAction without namespace", _action('"SetOutlookSyncRecord"'), PLAIN, WRONG_ACTION),
    ("text/xml is ASCII", _type("text/xml"), PLAIN, DAMAGED),
    ("unknown charset is ASCII", _type("text/xml; charset=no-such"), PLAIN, DAMAGED),
    ("charset Latin-1", _type("text/xml; charset=iso-8859-1"), PLAIN, saved(SourceID="S", ErrorMsg="\u00c3\u00a4")),
    ("charset UTF-8", _type("text/xml; charset=UTF-8"), PLAIN, SAVED),
    ("charset without blank", _type("text/xml;charset=utf-8"), PLAIN, SAVED),
    ("charset in quotes", _type('text/xml; charset="utf-8"'), PLAIN, SAVED),
    ("charset after another", _type("text/xml; action=x; charset=utf-8"), PLAIN, SAVED),
    ("type in capitals", _type("TEXT/XML; charset=utf-8"), PLAIN, SAVED),
    ("blank before semicolon", _type("text/xml ; charset=utf-8"), PLAIN, EMPTY_415),
    ("text/plain", _type("text/plain; charset=utf-8"), PLAIN, EMPTY_415),
    ("text/html", _type("text/html"), PLAIN, EMPTY_415),
    ("application/xml", _type("application/xml"), PLAIN, EMPTY_415),
    ("empty type", _type(""), PLAIN, EMPTY_415),
    ("no type", (ROUTE,), PLAIN, EMPTY_415),
    ("no headers", (), PLAIN12, EMPTY_415),
    ("1.1 envelope as 1.2", (XML12,), PLAIN, EMPTY_415),
    ("1.1 envelope as 1.2 with SOAPAction", (XML12, ROUTE), PLAIN, EMPTY_415),
    ("1.2 envelope as 1.1", (XML11, ROUTE), PLAIN12, SAVED12),
    ("1.2 envelope as 1.1 without SOAPAction", (XML11,), PLAIN12, SAVED12),
    ("unknown version as 1.2", (XML12,), record(S, "urn:other"), MISMATCH),
    ("unknown method, no SOAPAction", (XML11,), envelope('<X xmlns="urn:x"/>'), f"{FAULT} Client: {NO_ACTION}"),
    ("unknown method in 1.2", (XML12,), envelope("<X/>", SOAP12), f"500 SOAP 1.2 Sender: {NO_ACTION}"),
    ("empty Body, no SOAPAction", (XML11,), envelope(""), f"{FAULT} Client: {NO_ACTION}"),
    ("no Record in 1.2", (XML12,), envelope(method(""), SOAP12), NO_RESULT.replace("1.1", "1.2")),
    (
        "bad int in 1.2",
        (XML12,),
        record("<VeetroID>x</VeetroID>", SOAP12),
        f"500 SOAP 1.2 Sender: {IN_DOCUMENT} {NO_INT}",
    ),
)

HEADER = '<soap:Header><a xmlns="urn:a" soap:mustUnderstand="%s"/></soap:Header><soap:Body>'
NO_DECLARATION = PLAIN.partition("?>")[2]
ELSEWHERE = "<SetOutlookSyncRecord%s><Record><SourceID>S</SourceID></Record></SetOutlookSyncRecord>"
NAMESPACE = ' xmlns="http://schema.veetro.com"'

# The document, routed by SOAPAction: name, body, expected.
DOCUMENTS: tuple[tuple[str, str | bytes, str], ...] = (
    ("empty", "", EMPTY_400),
    ("white space", " \n", EMPTY_400),
    ("no XML", "hello", EMPTY_400),
    ("JSON", "{}", EMPTY_400),
    ("junk before", f"x{PLAIN}", EMPTY_400),
    ("junk after", f"{PLAIN}x", EMPTY_400),
    ("cut", PLAIN[:-20], EMPTY_400),
    ("blank before the declaration", f" {PLAIN}", EMPTY_400),
    ("blank before, no declaration", f"\n {NO_DECLARATION}", SAVED),
    ("no declaration", NO_DECLARATION, SAVED),
    ("line end after", f"{PLAIN}\r\n", SAVED),
    ("comment after", f"{PLAIN}<!-- c -->", SAVED),
    ("byte order mark", f"\ufeff{PLAIN}", SAVED),
    ("DOCTYPE", f"<!DOCTYPE x>{NO_DECLARATION}", EMPTY_400),
    ("processing instruction before", f"<?p x?>{NO_DECLARATION}", SAVED),
    ("comment before Body", PLAIN.replace("<soap:Body>", "<!-- c --><soap:Body>"), SAVED),
    ("declares Latin-1, header wins", PLAIN.replace("utf-8", "iso-8859-1"), SAVED),
    ("Latin-1 bytes", PLAIN.encode("latin-1"), saved(SourceID="S", ErrorMsg="\ufffd")),
    (
        "overlong UTF-8",
        record("<SourceID>\udcc0\udcaf</SourceID>").encode(errors="surrogateescape"),
        saved(SourceID="\ufffd\ufffd"),
    ),
    (
        "cut UTF-8",
        record("<SourceID>a\udce2\udc82</SourceID>").encode(errors="surrogateescape"),
        saved(SourceID="a\ufffd"),
    ),
    ("no envelope", method("<Record/>"), MISMATCH),
    ("no namespace", PLAIN.replace("soap:", "").replace(f' xmlns:soap="{SOAP11}"', ""), MISMATCH),
    ("unknown version", record(S, "urn:other"), MISMATCH),
    (
        "wrong root",
        PLAIN.replace("soap:Envelope", "soap:Letter"),
        f"{FAULT} Client: {NOT_READ} Request format is invalid: Missing required soap:Envelope element.",
    ),
    (
        "no Body",
        f'<soap:Envelope xmlns:soap="{SOAP11}" />',
        f"{FAULT} Client: {NOT_READ} Request format is invalid: Missing required soap:Body element.",
    ),
    ("header", PLAIN.replace("<soap:Body>", '<soap:Header><a xmlns="urn:a">x</a></soap:Header><soap:Body>'), SAVED),
    ("header to be understood", PLAIN.replace("<soap:Body>", HEADER % 1), f"{FAULT} {NOT_UNDERSTOOD}"),
    ("header not to be understood", PLAIN.replace("<soap:Body>", HEADER % 0), SAVED),
    ("empty Body", envelope(""), NO_RESULT),
    ("wrong method", envelope(method("").replace("Outlook", "Inlook")), NO_RESULT),
    ("method in other case", envelope(method("").replace("Set", "set")), NO_RESULT),
    ("method in other namespace", envelope(ELSEWHERE % ' xmlns="urn:x"'), NO_RESULT),
    ("method without namespace", envelope(ELSEWHERE % ""), NO_RESULT),
    ("two methods", envelope((ELSEWHERE % NAMESPACE) * 2), saved(SourceID="S")),
    ("no Record", envelope(method("")), NO_RESULT),
    ("Record in other case", envelope(method("<record><SourceID>S</SourceID></record>")), NO_RESULT),
    ("Record without namespace", envelope(method('<Record xmlns=""><SourceID>S</SourceID></Record>')), NO_RESULT),
    ("two Records", envelope(method(f"<Record>{S}</Record><Record/>")), saved(SourceID="S")),
    ("empty Record", record(""), saved()),
    ("Record as empty tag", envelope(method("<Record />")), saved()),
)
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'

# The fields of the Record: name, fields, expected.
FIELDS: tuple[tuple[str, str, str], ...] = (
    (
        "out of order",
        f"<CurrentStatus>Completed</CurrentStatus>{S}<VeetroID>5</VeetroID>",
        saved(VeetroID="5", SourceID="S", CurrentStatus="Completed"),
    ),
    ("id kept", f"<ImportSyncRecordID>77</ImportSyncRecordID>{S}", saved(ImportSyncRecordID="77", SourceID="S")),
    (
        "negative id kept",
        f"<ImportSyncRecordID>-5</ImportSyncRecordID>{S}",
        saved(ImportSyncRecordID="-5", SourceID="S"),
    ),
    (
        "twice, the first wins",
        f"{S}<SourceID>T</SourceID><VeetroID>1</VeetroID><VeetroID>2</VeetroID>",
        saved(VeetroID="1", SourceID="S"),
    ),
    ("twice, far apart", f"{S}<ErrorMsg>e</ErrorMsg><SourceID>T</SourceID>", saved(SourceID="S", ErrorMsg="e")),
    ("twice, the first empty", f"<SourceID/>{S}", saved(SourceID="")),
    ("twice, the second unreadable", "<VeetroID>1</VeetroID><VeetroID>x</VeetroID>", saved(VeetroID="1")),
    ("unknown", f"<Nonsense>x</Nonsense>{S}", saved(SourceID="S")),
    ("unknown with a known inside", f"<Nonsense><VeetroID>x</VeetroID></Nonsense>{S}", saved(SourceID="S")),
    ("misspelt", f"<SourceId>x</SourceId>{S}", saved(SourceID="S")),
    ("without namespace", f'{S}<ErrorMsg xmlns="">x</ErrorMsg>', saved(SourceID="S")),
    ("in other namespace", f'{S}<ErrorMsg xmlns="urn:x">x</ErrorMsg>', saved(SourceID="S")),
    ("prefixed", '<v:SourceID xmlns:v="http://schema.veetro.com">S</v:SourceID>', saved(SourceID="S")),
    ("prefixed and empty", '<v:SourceID xmlns:v="http://schema.veetro.com"/>', saved(SourceID="")),
    ("empty tag", "<SourceID />", saved(SourceID="")),
    ("text between", f"text{S}more", saved(SourceID="S")),
    ("comments between", f"<!-- c -->{S}<!-- c -->", saved(SourceID="S")),
    ("processing instruction between", f"<?p x?>{S}", saved(SourceID="S")),
    ("attribute", '<SourceID x="1">S</SourceID>', saved(SourceID="S")),
    ("type attribute", f'<SourceID xsi:type="x" {XSI}>S</SourceID>', saved(SourceID="S")),
    ("not nil", f'<SourceID xsi:nil="false" {XSI}>S</SourceID>', saved(SourceID="S")),
    ("nil int", f'<VeetroID xsi:nil="true" {XSI} />', refused(NO_INT)),
    ("nil boolean", f'<Delete xsi:nil="true" {XSI} />', refused("The string '' is not a valid Boolean value.")),
    (
        "nil dateTime",
        f'<RemoteTimeStamp xsi:nil="true" {XSI} />',
        refused("The string '' is not a valid AllXsd value."),
    ),
    ("int in CDATA", "<VeetroID><![CDATA[12]]></VeetroID>", saved(VeetroID="12")),
    ("tag in int", "<VeetroID>1<b/></VeetroID>", EMPTY_400),
    ("comment in int", "<VeetroID>1<!-- c -->2</VeetroID>", EMPTY_400),
    (
        "tag opens a string, later fields are lost",
        f"<Source><b>c</b>d</Source>{S}<CurrentStatus>Completed</CurrentStatus>",
        saved(Source="c"),
    ),
    ("leaf not closed", "<SourceID>S", EMPTY_400),
)


def _leaf(name: str, text: str, expected: str) -> Case:
    return Case(f"{name} {text!r}"[:80], record(f"<{name}>{text}</{name}>").encode(errors="surrogateescape"), expected)


def _lines(text: str) -> str:
    """What an XML reader makes of a raw CR in an answer."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _values() -> list[Case]:
    """One case for each text in the tables of values."""
    cases = [_leaf("VeetroID", text, saved(VeetroID=told)) for text, told in odd_values.INTS.items()]
    cases += [_leaf("VeetroID", text, refused(NO_INT)) for text in odd_values.NO_INTS]
    cases += [_leaf("VeetroID", text, refused(NO_INT32)) for text in odd_values.TOO_LARGE_INTS]
    cases += [_leaf("Delete", text, saved(Delete=told)) for text, told in odd_values.BOOLEANS.items()]
    for text in odd_values.NO_BOOLEANS:
        cases.append(_leaf("Delete", text, refused(f"The string '{text}' is not a valid Boolean value.")))
    cases += [_leaf("CurrentStatus", text, saved(CurrentStatus=text)) for text in odd_values.ENUMS]
    for text in odd_values.NO_ENUMS:
        why = f"Instance validation error: '{text}' is not a valid value for SyncStatus."
        cases.append(_leaf("CurrentStatus", text, refused(why)))
    cases += [_leaf("ErrorMsg", text, saved(ErrorMsg=_lines(told))) for text, told in odd_values.STRINGS.items()]
    cases += [_leaf("ErrorMsg", text, EMPTY_400) for text in odd_values.NO_STRINGS]
    cases += [_leaf("RemoteTimeStamp", text, saved(RemoteTimeStamp=told)) for text, told in odd_values.DATES.items()]
    for text in odd_values.NO_DATES:
        cases.append(_leaf("RemoteTimeStamp", text, refused(f"The string '{text}' is not a valid AllXsd value.")))
    return cases


CASES = (
    *(Case(name, body.encode(), expected, headers) for name, headers, body, expected in HEADERS),
    *(Case(name, body if isinstance(body, bytes) else body.encode(), expected) for name, body, expected in DOCUMENTS),
    *(Case(name, record(fields).encode(), expected) for name, fields, expected in FIELDS),
    *_values(),
)
