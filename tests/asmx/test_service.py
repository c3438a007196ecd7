"""Facts about a real ASMX server that show only where what it received can be seen beside what it answered."""

import pytest

from tests.asmx.observation import Observation, observe
from tests.asmx.odd_envelopes import (
    ELSEWHERE,
    LOGIN,
    NO_RESULT,
    PLAIN,
    ROUTE,
    SOAP11,
    SOAP12,
    XML11,
    XML12,
    Case,
    S,
    envelope,
    method,
    record,
)
from tests.asmx.server import PASSWORD, AsmxService, Call


@pytest.fixture(autouse=True)
def nothing_received(asmx: AsmxService) -> None:
    asmx.reset()


def see(asmx: AsmxService, document: str, *headers: tuple[str, str]) -> Observation:
    return observe(asmx.url, Case("", document.encode(), "", headers or (XML11, ROUTE)))


def login(version: str, **given: str) -> str:
    inside = "".join(f"<{name}>{text}</{name}>" for name, text in given.items())
    return envelope(f'<AuthenticateWebSafe xmlns="http://schema.veetro.com">{inside}</AuthenticateWebSafe>', version)


def test_null_is_told_apart_from_empty(asmx: AsmxService) -> None:
    """An absent string is null at the service, an empty one is not; a missing value is its type's default."""
    see(asmx, record(f"{S}<Source/>"))
    (seen,) = asmx.received()
    assert (seen["SourceID"], seen["Source"], seen["ErrorMsg"]) == ("S", "", None)
    assert (seen["VeetroID"], seen["Delete"], seen["CurrentStatus"]) == (0, False, "NA")
    assert seen["RemoteTimeStamp"] == {"ticks": 0, "kind": "Unspecified"}


def test_reset_forgets(asmx: AsmxService) -> None:
    """After a reset nothing is told but what came later."""
    see(asmx, record(S))
    asmx.reset()
    see(asmx, record("<SourceID>later</SourceID>"))
    assert [seen["SourceID"] for seen in asmx.received()] == ["later"]


@pytest.mark.parametrize("inside", [method(""), ELSEWHERE % "", ""])
def test_method_runs_with_null(asmx: AsmxService, inside: str) -> None:
    """A call without a Record of the right name runs the method with null and is answered with 200."""
    assert str(see(asmx, envelope(inside))) == NO_RESULT
    assert asmx.calls() == [Call(session=None, record=None)]


def test_server_fault_proves_nothing(asmx: AsmxService) -> None:
    """Whether a method saved before it threw cannot be seen in the fault."""
    unsaved = see(asmx, record("<SourceID>!throw</SourceID><ErrorMsg>a deadlock</ErrorMsg>"))
    saved = see(asmx, record("<SourceID>!save-then-throw</SourceID><ErrorMsg>a deadlock</ErrorMsg>"))
    assert unsaved == saved
    assert saved.status == 500
    assert saved.fault == ("Server", "Server was unable to process request. ---> a deadlock")
    assert [seen["SourceID"] for seen in asmx.received()] == ["!save-then-throw"]


def test_server_fault_in_12(asmx: AsmxService) -> None:
    """In SOAP 1.2 the code of an exception in the method is Receiver."""
    seen = see(asmx, record("<SourceID>!throw</SourceID>", SOAP12), XML12)
    assert (seen.status, seen.version, seen.fault) == (
        500,
        "1.2",
        ("Receiver", "Server was unable to process request. ---> refused before saving"),
    )


def test_custom_fault_code(asmx: AsmxService) -> None:
    """A method can answer with a fault code of its own."""
    seen = see(asmx, record("<SourceID>!custom-fault</SourceID>"))
    assert (seen.status, seen.fault) == (500, ("Custom.Code", "a custom fault"))


def test_forbidden_characters_in_a_good_answer(asmx: AsmxService) -> None:
    """The answer of a call that succeeded can hold references that XML forbids."""
    seen = see(asmx, record("<SourceID>!control-character</SourceID>"))
    assert (seen.status, seen.fields["ErrorMsg"]) == (200, "before[U+B]after[U+1]")


@pytest.mark.parametrize("sent", ["a&#13;b", "a&#xD;b"])
def test_answer_cannot_prove_a_cr(asmx: AsmxService, sent: str) -> None:
    """A CR by reference is stored, but the answer carries it raw, which reads as LF."""
    seen = see(asmx, record(f"<ErrorMsg>{sent}</ErrorMsg>"))
    assert asmx.received()[0]["ErrorMsg"] == "a\rb"
    assert seen.fields["ErrorMsg"] == "a\nb"


@pytest.mark.parametrize("sent", ["  ", "\t", "\n", "&#32; ", "&#x20; ", "&#13;", "&#xD;", " &#10;"])
def test_white_space_alone_is_kept(asmx: AsmxService, sent: str) -> None:
    """A string of nothing but white space arrives as it was sent, literal or by reference of either kind."""
    see(asmx, record(f"<ErrorMsg>{sent}</ErrorMsg>"))
    meant = sent.replace("&#32;", " ").replace("&#x20;", " ").replace("&#10;", "\n")
    assert asmx.received()[0]["ErrorMsg"] == meant.replace("&#13;", "\r").replace("&#xD;", "\r")


@pytest.mark.parametrize(
    ("sent", "ticks", "kind"),
    [
        ("2000-01-01T00:00:00", 630822816000000000, "Unspecified"),
        ("2000-01-01T00:00:00Z", 630822816000000000, "Utc"),
        ("2000-01-01T01:00:00+01:00", 630822816000000000, "Local"),
        ("2000-01-01T00:00:00+00:00", 630822816000000000, "Local"),
        ("0001-01-01T00:00:00+14:00", 0, "Local"),
    ],
)
def test_kinds_of_datetime(asmx: AsmxService, sent: str, ticks: int, kind: str) -> None:
    """An offset becomes the server's time, Z stays UTC, none stays open; what leaves the calendar is clamped."""
    see(asmx, record(f"<RemoteTimeStamp>{sent}</RemoteTimeStamp>"))
    assert asmx.received()[0]["RemoteTimeStamp"] == {"ticks": ticks, "kind": kind}


def test_bare_time_is_taken(asmx: AsmxService) -> None:
    """A time without a date becomes that time of the server's today."""
    seen = see(asmx, record("<RemoteTimeStamp>12:34:56</RemoteTimeStamp>"))
    assert (seen.status, seen.fields["RemoteTimeStamp"][10:]) == (200, "T12:34:56")


@pytest.mark.parametrize(("version", "headers"), [(SOAP11, (XML11, LOGIN)), (SOAP12, (XML12,))])
def test_login(asmx: AsmxService, version: str, headers: tuple[tuple[str, str], ...]) -> None:
    """A good login tells a session key and the user; a bad one has another Code, at 200 and without a fault."""
    good = see(asmx, login(version, email="ann@example.org", **{"pass": PASSWORD}), *headers)
    bad = see(asmx, login(version, email="ann@example.org", **{"pass": "wrong"}), *headers)
    assert (good.status, good.response) == (bad.status, bad.response) == (200, "AuthenticateWebSafeResponse")
    assert good.fields == {
        "Code": "Success",
        "SessionKey": "session-of-ann@example.org",
        "User/EntityID": "7",
        "User/Name": "Ann Example",
        "User/Email": "ann@example.org",
    }
    assert bad.fields == {"Code": "Not_Found"}


def test_session_header_is_told(asmx: AsmxService) -> None:
    """The fixture tells the session key that came with a call."""
    see(asmx, PLAIN, XML11, ROUTE, ("VeetroSession", "k-1"))
    assert [call.session for call in asmx.calls()] == ["k-1"]
