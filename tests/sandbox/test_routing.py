"""How the service finds out what is asked for, and what it says where it cannot."""

from collections.abc import Awaitable, Callable

import pytest

from batcher.sandbox import Sandbox

Envelope = Callable[..., str]
Exchange = Callable[..., Awaitable[bytes]]
Post = Callable[..., Awaitable[tuple[int, dict[str, str], str]]]

SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
MEDIA_11 = "text/xml; charset=utf-8"
MEDIA_12 = "application/soap+xml; charset=utf-8"
ACTION = "http://schema.veetro.com/SetOutlookSyncRecord"


async def test_a_usual_request_gets_the_servers_usual_answer(sandbox: Sandbox, post: Post, envelope: Envelope) -> None:
    """Byte for byte as ASP.NET prints it: prefix soap, absent null strings, `<X />` for empty ones."""
    status, headers, text = await post(sandbox, envelope("<ImportSyncRecordID>7</ImportSyncRecordID><Source></Source>"))
    assert status == 200
    assert headers["Content-Type"] == MEDIA_11
    assert headers["Cache-Control"] == "private, max-age=0"
    assert text == (
        '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Body>'
        '<SetOutlookSyncRecordResponse xmlns="http://schema.veetro.com"><SetOutlookSyncRecordResult>'
        "<ImportSyncRecordID>7</ImportSyncRecordID><VeetroID>0</VeetroID><EntityID_Owner>0</EntityID_Owner><Source />"
        "<ApplyAction>0</ApplyAction><RemoteTimeStamp>0001-01-01T00:00:00</RemoteTimeStamp><Delete>false</Delete>"
        "<CurrentStatusId>0</CurrentStatusId><Retried>0</Retried><LocalTimeStamp>0001-01-01T00:00:00</LocalTimeStamp>"
        "<DateLastModifiedRemoteUtc>0001-01-01T00:00:00</DateLastModifiedRemoteUtc>"
        "<DateLastModifiedLocalUtc>0001-01-01T00:00:00</DateLastModifiedLocalUtc><CurrentStatus>NA</CurrentStatus>"
        "</SetOutlookSyncRecordResult></SetOutlookSyncRecordResponse></soap:Body></soap:Envelope>"
    )


@pytest.mark.parametrize(
    ("media", "action"),
    [
        (MEDIA_12, None),
        (f'{MEDIA_12}; action="{ACTION}"', None),
        (f'{MEDIA_12}; action="urn:wrong"', None),
        (MEDIA_12, '"urn:wrong"'),
        (MEDIA_11, f'"{ACTION}"'),
        (MEDIA_11, None),
    ],
)
async def test_the_answer_follows_the_envelopes_version(
    sandbox: Sandbox, post: Post, envelope: Envelope, media: str, action: str | None
) -> None:
    """A SOAP 1.2 envelope is answered in 1.2 whatever its headers, as long as they route."""
    status, headers, text = await post(sandbox, envelope("", SOAP_12), media, action)
    assert (status, headers["Content-Type"]) == (200, MEDIA_12)
    assert f'<soap:Envelope xmlns:soap="{SOAP_12}"' in text


@pytest.mark.parametrize("action", [None, ACTION, f'"{ACTION}"', f'"{ACTION.replace(":", "%3A")}"'])
async def test_soap_action_may_be_missing_bare_or_quoted(
    sandbox: Sandbox, post: Post, envelope: Envelope, action: str | None
) -> None:
    """Each of these routes a SOAP 1.1 request."""
    status, _, _ = await post(sandbox, envelope(""), action=action)
    assert (status, sandbox.stats().applied) == (200, {"": 1})


@pytest.mark.parametrize("action", ["", '""', ACTION.lower(), f'"{ACTION}', f'"{ACTION} "', '"urn:x"'])
async def test_another_soap_action_is_a_client_fault(
    sandbox: Sandbox, post: Post, envelope: Envelope, action: str
) -> None:
    """SOAPAction is compared exactly; the fault is of SOAP 1.1 even for a 1.2 envelope."""
    status, headers, text = await post(sandbox, envelope("", SOAP_12), action=action)
    shown = action[1:-1] if len(action) > 1 and action.startswith('"') and action.endswith('"') else action
    why = f"Server did not recognize the value of HTTP Header SOAPAction: {shown}."
    assert (status, headers["Content-Type"]) == (500, MEDIA_11)
    assert f"<faultcode>soap:Client</faultcode><faultstring>{why}</faultstring>" in text


@pytest.mark.parametrize(
    "media", [None, "", "application/json", "application/xml", "text/xml ; charset=utf-8", "text/xmlx", "text/html"]
)
async def test_another_content_type_is_a_415(
    sandbox: Sandbox, post: Post, envelope: Envelope, media: str | None
) -> None:
    """Empty body; a space before the semicolon is enough."""
    status, headers, text = await post(sandbox, envelope(""), media)
    assert (status, headers["Content-Length"], text, sandbox.stats().applied) == (415, "0", "", {})


async def test_a_soap_11_envelope_needs_text_xml(sandbox: Sandbox, post: Post, envelope: Envelope) -> None:
    """Under SOAP 1.2's content type it is a 415."""
    status, _, _ = await post(sandbox, envelope(""), MEDIA_12, None)
    assert (status, sandbox.stats().applied) == (415, {})


@pytest.mark.parametrize(
    ("media", "stored"),
    [
        ("text/xml", "?????"),
        ("text/xml; charset=nope", "?????"),
        ("text/xml; charset=iso-8859-1", "é☃".encode().decode("latin-1")),
        ("TEXT/XML;charset=UTF-8", "é☃"),
        ('text/xml; charset="utf-8"', "é☃"),
    ],
)
async def test_the_charset_decides_how_text_is_read(
    sandbox: Sandbox, post: Post, envelope: Envelope, media: str, stored: str
) -> None:
    """Without a charset it is ASCII, and the text is damaged without a word."""
    status, _, _ = await post(sandbox, envelope("<SourceID>é☃</SourceID>"), media)
    assert (status, sandbox.records[0]["SourceID"]) == (200, stored)


async def test_bytes_that_are_not_utf_8_become_replacement_characters(
    sandbox: Sandbox, post: Post, envelope: Envelope
) -> None:
    """200, with U+FFFD stored."""
    body = envelope("<SourceID>a@b</SourceID>").encode().replace(b"@", b"\xff\xe2\x98")
    status, _, _ = await post(sandbox, body)
    assert (status, sandbox.stats().applied) == (200, {"a\ufffd\ufffdb": 1})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema.veetro.com", "schema.veetro.org"),
        ("SetOutlookSyncRecord", "setOutlookSyncRecord"),
        ("<Record>", "<record>"),
        (' xmlns="http://schema.veetro.com"', ""),
    ],
)
async def test_a_method_without_its_record_runs_with_nothing(
    sandbox: Sandbox, post: Post, envelope: Envelope, old: str, new: str
) -> None:
    """200 and an empty response element: 200 is not success."""
    body = (
        envelope("")
        .replace(old, new)
        .replace("</Record>", new.replace("<", "</") if old == "<Record>" else "</Record>")
    )
    status, _, text = await post(sandbox, body)
    assert status == 200
    assert '<soap:Body><SetOutlookSyncRecordResponse xmlns="http://schema.veetro.com" /></soap:Body>' in text
    assert sandbox.stats().applied == {}


BROKEN = ["", "  ", "{}", "junk@", "@junk", "@<a/>", "<!DOCTYPE a>@"]


@pytest.mark.parametrize("shape", BROKEN)
async def test_broken_xml_is_a_400_without_a_body(sandbox: Sandbox, post: Post, envelope: Envelope, shape: str) -> None:
    """Junk around the envelope, a DOCTYPE, no body at all."""
    whole = envelope("").removeprefix('<?xml version="1.0" encoding="utf-8"?>')
    status, headers, text = await post(sandbox, shape.replace("@", whole))
    assert (status, headers["Content-Length"], text, sandbox.stats().applied) == (400, "0", "", {})


@pytest.mark.parametrize(
    "fields", ["<Source>a<!-- c --></Source>", "<Source>a<b/></Source>", "<Source>a", "<Source>a</source>", "<a:b/>"]
)
async def test_broken_records_are_a_400_without_a_body(
    sandbox: Sandbox, post: Post, envelope: Envelope, fields: str
) -> None:
    """A comment or a tag behind a leaf's text counts as broken, in both versions."""
    status, _, text = await post(sandbox, envelope(fields))
    twelve, _, _ = await post(sandbox, envelope(fields, SOAP_12), MEDIA_12, None)
    assert (status, twelve, text, sandbox.stats().applied) == (400, 400, "", {})


async def test_broken_xml_that_has_to_route_is_a_server_fault(sandbox: Sandbox, post: Post) -> None:
    """Without SOAPAction the body routes, and where it cannot be read the fault is a Receiver's: seen on Mono."""
    status, headers, text = await post(sandbox, "", MEDIA_12, None)
    assert (status, headers["Content-Type"]) == (500, MEDIA_12)
    assert "<soap:Value>soap:Receiver</soap:Value>" in text
    assert "Server was unable to process request. ---&gt; Root element is missing." in text


async def test_a_bad_value_before_broken_xml_is_a_client_fault(
    sandbox: Sandbox, post: Post, envelope: Envelope
) -> None:
    """The reader never gets to what is broken."""
    status, _, text = await post(sandbox, envelope("<VeetroID>x</VeetroID><a>"))
    assert (status, "soap:Client" in text) == (500, True)


async def test_an_unknown_envelope_version_is_told_the_known_ones(
    sandbox: Sandbox, post: Post, envelope: Envelope
) -> None:
    """A VersionMismatch fault of SOAP 1.1, with a Header before its Body."""
    status, headers, text = await post(sandbox, envelope("", "urn:soap"))
    assert (status, headers["Content-Type"]) == (500, MEDIA_11)
    assert text.index("<soap:Header><soap12:Upgrade") < text.index("<soap:Body>")
    assert "<faultcode>soap:VersionMismatch</faultcode>" in text


async def test_a_header_that_must_be_understood_is_not(sandbox: Sandbox, post: Post, envelope: Envelope) -> None:
    """A MustUnderstand fault without a detail; nothing is applied. Other headers are passed over."""
    header = '<soap:Header><a xmlns="urn:a" soap:mustUnderstand="{}">x</a></soap:Header><soap:Body>'
    status, _, text = await post(sandbox, envelope("").replace("<soap:Body>", header.format(1)))
    assert (status, sandbox.stats().applied) == (500, {})
    assert "<faultcode>soap:MustUnderstand</faultcode><faultstring>SOAP header a was not understood." in text
    assert "<detail" not in text
    status, _, _ = await post(sandbox, envelope("").replace("<soap:Body>", header.format(0)))
    assert (status, sandbox.stats().applied) == (200, {"": 1})


async def test_a_body_over_4096_kilobytes_is_a_fault(sandbox: Sandbox, post: Post, envelope: Envelope) -> None:
    """The exact limit is taken, one byte more is not."""
    room = 4096 * 1024 - len(envelope("<Source></Source>"))
    status, _, _ = await post(sandbox, envelope(f"<Source>{'x' * room}</Source>"))
    assert status == 200
    status, _, text = await post(sandbox, envelope(f"<Source>{'x' * (room + 1)}</Source>"))
    assert (status, "Maximum request length exceeded." in text) == (500, True)
    assert sandbox.stats().applied == {"": 1}


async def test_other_paths_and_methods_get_pages(sandbox: Sandbox, exchange: Exchange) -> None:
    """404 like IIS, a help page for GET, 405 for the rest, and none of them counts as a request."""
    wanted = {"GET /xml": b"200", "GET /x": b"404", "POST /": b"404", "PUT /xml": b"405"}
    for line, status in wanted.items():
        raw = await exchange(sandbox, f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert raw.split()[1] == status
        assert b"Content-Type: text/html" in raw
    assert sandbox.stats().requests == 0
