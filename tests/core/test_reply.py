from __future__ import annotations

import pytest

from batcher.core.soap import SOAP_11, SOAP_12
from batcher.core.verdict import Sample, Verdict
from tests.core.judging import SOAPS, judge
from tests.core.samples import VALID, answer, envelope, fault

ACCEPTED, REFUSED, FAULTED = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.FAULTED
NO_SESSION, MISDIRECTED = Verdict.NO_SESSION, Verdict.MISDIRECTED
CLIENT, SERVER = {"1.1": "Client", "1.2": "Sender"}, {"1.1": "Server", "1.2": "Receiver"}
both_versions = pytest.mark.parametrize("version", SOAPS)

UNREAD = "Server was unable to read request. ---> There is an error in XML document (1, 345). ---> "
FAILED = "Server was unable to process request. ---> "


@both_versions
@pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 404, 429, 500, 503])
def test_a_result_is_a_result_at_any_status(version: str, status: int) -> None:
    """The body is read before the status: what holds the operation's result was accepted."""
    for body in (answer(VALID, SOAPS[version]), answer(VALID | {"SourceName": "a&b"}, SOAPS[version])):
        found = judge(status, body, {"Retry-After": "5"}, version)
        assert (found.verdict, found.sample, found.readable) == (ACCEPTED, Sample.SUCCESS, True)
        assert found.key == ("S-1",)
        assert b'"SourceID":"S-1"' in found.result
        assert found.problem is None


def test_a_success_with_forbidden_characters_is_a_success() -> None:
    """An XML parser refuses such an answer, but the call has succeeded."""
    for written in (b"&#xB;", b"&#x1;", b"\x0b"):
        found = judge(200, answer(VALID, SOAP_11).replace(b"Jane Doe", b"Jane" + written))
        assert found.verdict is ACCEPTED
        assert b'"SourceName":"Jane\\u00' in found.result


FAULTS = [
    # code, text, verdict, sample, kind
    ("client", UNREAD + "The string 'x' is not a valid Int32 value.", REFUSED, Sample.IGNORE, "client_fault"),
    ("client", UNREAD + "'Session lost' is not a valid value.", REFUSED, Sample.IGNORE, "client_fault"),
    ("client", UNREAD + "'SOAPAction' is not a valid value.", REFUSED, Sample.IGNORE, "client_fault"),
    ("client", "Malformed value", REFUSED, Sample.IGNORE, "client_fault"),
    ("client", "", REFUSED, Sample.IGNORE, "client_fault"),
    ("Client.Validation", "Malformed value", REFUSED, Sample.IGNORE, "client_fault"),
    ("Client.Authentication", "Not now", NO_SESSION, Sample.IGNORE, "client_fault"),
    ("Client.Authentication", "Please log in", NO_SESSION, Sample.IGNORE, "client_fault"),
    ("Sender", "Malformed value", REFUSED, Sample.IGNORE, "client_fault"),
    ("Client", "Malformed value", REFUSED, Sample.IGNORE, "client_fault"),
    ("DataEncodingUnknown", "Malformed value", REFUSED, Sample.IGNORE, "client_fault"),
    ("client", "Deadlocked, but a Client fault", REFUSED, Sample.IGNORE, "client_fault"),
    ("server", FAILED + "Object reference not set", FAULTED, Sample.IGNORE, "server_fault"),
    ("server", FAILED + "Timeout expired.", FAULTED, Sample.IGNORE, "server_fault"),
    ("server", FAILED + "Maximum request length exceeded.", FAULTED, Sample.IGNORE, "server_fault"),
    ("server", "", FAULTED, Sample.IGNORE, "server_fault"),
    ("Server.Database", FAILED + "Object reference not set", FAULTED, Sample.IGNORE, "server_fault"),
    ("Quota", "Too much for one day", FAULTED, Sample.IGNORE, "server_fault"),
    ("client", FAILED, REFUSED, Sample.IGNORE, "client_fault"),
    (
        "server",
        FAILED + "Transaction was deadlocked. Rerun the transaction.",
        FAULTED,
        Sample.TURNED_AWAY,
        "server_fault",
    ),
    ("server", FAILED + "The server is BUSY", FAULTED, Sample.TURNED_AWAY, "server_fault"),
    ("Quota", "Too many requests", FAULTED, Sample.TURNED_AWAY, "server_fault"),
    ("server", FAILED + "Your session has expired", NO_SESSION, Sample.IGNORE, "server_fault"),
    ("server", "VeetroSession is missing", NO_SESSION, Sample.IGNORE, "server_fault"),
    ("server", UNREAD + "No permission", NO_SESSION, Sample.IGNORE, "server_fault"),
    ("client", "You are not logged in.", NO_SESSION, Sample.IGNORE, "client_fault"),
    ("Quota", "User is not authorised: unauthorised. Login first", NO_SESSION, Sample.IGNORE, "server_fault"),
    ("VersionMismatch", "Possible SOAP version mismatch", MISDIRECTED, Sample.IGNORE, "server_fault"),
    ("MustUnderstand", "SOAP header Session was not understood", MISDIRECTED, Sample.IGNORE, "server_fault"),
    (
        "client",
        "Server did not recognize the value of HTTP Header SOAPAction: http://schema.veetro.com/SetSession.",
        *(MISDIRECTED, Sample.IGNORE, "client_fault"),
    ),
    (
        "client",
        "Unable to handle request without a valid action parameter. Please supply a valid soap action.",
        *(MISDIRECTED, Sample.IGNORE, "client_fault"),
    ),
    (
        "client",
        "Unable to handle request. The action 'http://schema.veetro.com/Login' was not recognized.",
        *(MISDIRECTED, Sample.IGNORE, "client_fault"),
    ),
    ("server", FAILED + "No SOAPAction in the queue", FAULTED, Sample.IGNORE, "server_fault"),
]


@both_versions
@pytest.mark.parametrize("status", [200, 400, 404, 500])
@pytest.mark.parametrize(("code", "text", "verdict", "sample", "kind"), FAULTS)
def test_what_a_fault_means(
    version: str, status: int, code: str, text: str, verdict: Verdict, sample: Sample, kind: str
) -> None:
    """The code and the text decide, the status never; in both versions of SOAP, with a Header before the Body too."""
    code = {"client": CLIENT[version], "server": SERVER[version]}.get(code, code)
    for header in ("", "<soap:Header><Upgrade /></soap:Header>"):
        found = judge(status, fault(SOAPS[version], code, text, header), version=version)
        assert (found.verdict, found.sample, found.readable) == (verdict, sample, True)
        assert found.transient is (sample is Sample.TURNED_AWAY)
        assert found.retry_after is None
        assert found.problem is not None
        assert (found.problem.kind, found.problem.fault_code, found.problem.http_status) == (kind, code, status)
        assert found.problem.message == (text.strip() or f"a {code} fault without text")


@both_versions
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_fault_of_an_overloaded_server_will_pass(version: str, status: int) -> None:
    """With 429 or 503 any Server fault is transient; a Client fault stays the record's own."""
    found = judge(status, fault(SOAPS[version], SERVER[version], FAILED), {"Retry-After": "7"}, version)
    assert (found.verdict, found.sample, found.transient, found.retry_after) == (FAULTED, Sample.TURNED_AWAY, True, 7.0)
    found = judge(status, fault(SOAPS[version], CLIENT[version], UNREAD), version=version)
    assert (found.verdict, found.sample, found.transient) == (REFUSED, Sample.IGNORE, False)


@pytest.mark.parametrize(
    ("inner", "verdict", "code", "message"),
    [
        (
            (
                "<soap:Fault><soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code>"
                "<soap:Reason><soap:Text>no</soap:Text></soap:Reason></soap:Fault>"
            ),
            *(REFUSED, "Sender", "no"),
        ),
        (
            (
                "<soap:Fault><soap:Code><soap:Value>soap:Receiver</soap:Value><soap:Subcode><soap:Value>x:Sender"
                "</soap:Value></soap:Subcode></soap:Code><soap:Reason>no text element</soap:Reason></soap:Fault>"
            ),
            *(FAULTED, "Receiver", "no text element"),
        ),
        (
            f'<s:Fault xmlns:s="{SOAP_12.namespace}"><s:Code><s:Value>s:Sender</s:Value></s:Code></s:Fault>',
            *(REFUSED, "Sender", "a Sender fault without text"),
        ),
        (
            "<soap:Fault><faultcode> Client </faultcode><faultstring>\n two\n lines </faultstring></soap:Fault>",
            *(REFUSED, "Client", "two lines"),
        ),
        (
            "<soap:Fault><soap:faultcode>q:r:Client</soap:faultcode><faultstring><b>x</b>y</faultstring></soap:Fault>",
            *(REFUSED, "Client", "xy"),
        ),
        ("<soap:Fault />", FAULTED, "", "a nameless fault without text"),
        ("<Fault><faultcode>a.Client</faultcode></Fault>", FAULTED, "a.Client", "a a.Client fault without text"),
        (
            "<a/><soap:Fault><faultcode>Client</faultcode></soap:Fault>",
            REFUSED,
            "Client",
            "a Client fault without text",
        ),
    ],
)
def test_a_fault_of_another_shape(inner: str, verdict: Verdict, code: str, message: str) -> None:
    """Shapes of one version in envelopes of the other, missing parts and layout: what is there is read."""
    for version, soap in SOAPS.items():
        found = judge(200, envelope(soap, inner), version=version)
        assert found.problem is not None
        assert (found.verdict, found.problem.fault_code, found.problem.message) == (verdict, code, message)


def test_the_text_of_a_fault_is_one_short_line() -> None:
    """A stack trace of thousands of lines is folded and cut."""
    found = judge(500, fault(SOAP_11, "Server", FAILED + "\n   at Some.Where()" * 10_000))
    assert found.problem is not None
    assert len(found.problem.message) <= 500
    assert found.problem.message.startswith("Server was unable to process request. ---> at Some.Where() at Some")


def test_forbidden_characters_make_no_fault_unreadable() -> None:
    """A fault that quotes a control character is still a fault."""
    body = fault(SOAP_11, "Client", UNREAD + "'x' is not valid.").replace(b"'x'", b"'&#x1;'")
    assert judge(500, body).verdict is REFUSED


@both_versions
@pytest.mark.parametrize("status", [401, 403])
def test_a_fault_with_a_status_of_access_means_the_session(version: str, status: int) -> None:
    """401 and 403 speak of the session, whatever the fault in the body says, unless it could not read the record."""
    found = judge(status, fault(SOAPS[version], SERVER[version], FAILED + "Nothing."), version=version)
    assert found.verdict is NO_SESSION
    unread = judge(status, fault(SOAPS[version], CLIENT[version], UNREAD + "There is an error in XML document (1, 2)."))
    assert unread.verdict is REFUSED


@pytest.mark.parametrize("code", ["Client", "Server"])
@pytest.mark.parametrize("words", ["The action '", "log ged ", "try again ", "not authori", "'", " ", "a\n", "é"])
def test_a_fault_of_megabytes_is_judged_by_its_beginning(code: str, words: str) -> None:
    """Whatever it says over and over, no pattern looks for its end at each beginning: that would take hours."""
    text = FAILED + words * (6 * 2**20 // len(words.encode()))
    found = judge(500, fault(SOAP_11, code, text))
    assert (found.verdict, found.readable) == (REFUSED if code == "Client" else FAULTED, True)
    assert found.problem is not None
    assert len(found.problem.message) <= 500
