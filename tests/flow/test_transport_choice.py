"""Which transport serves; and which proxy is taken, as a table: the variables are those that curl reads."""

from __future__ import annotations

import logging

import pytest
from aiohttp import http_parser
from yarl import URL

from batcher.errors import SettingsError
from batcher.flow.transport import Route, open_transport
from batcher.flow.transport.lease import LeaseTransport
from batcher.flow.transport.proxy import choose_proxy
from batcher.flow.transport.session import SessionTransport

SECURE, PLAIN = "https://acme.example/xml", "http://acme.example/xml"
P = "http://p.example:3128"

CHOICES: list[tuple[str, str | None, dict[str, str], str | None]] = [
    (SECURE, None, {}, None),
    ("http://127.0.0.1:8080/", None, {"http_proxy": P, "ALL_PROXY": P}, None),
    ("http://localhost/", None, {"HTTP_PROXY": P}, None),
    ("https://[::1]/", None, {"HTTPS_PROXY": P}, None),
    ("http://127.0.0.1:8080/", P, {}, P),
    ("http://localhost.example/", None, {"HTTP_PROXY": P}, P),
    (SECURE, None, {"https_proxy": P}, P),
    (SECURE, None, {"HTTPS_PROXY": P}, P),
    (SECURE, None, {"https_proxy": P, "HTTPS_PROXY": "http://other.example"}, P),
    (SECURE, None, {"HTTP_PROXY": P, "http_proxy": P}, None),
    (PLAIN, None, {"HTTP_PROXY": P}, P),
    (PLAIN, None, {"HTTPS_PROXY": P}, None),
    (PLAIN, None, {"ALL_PROXY": P}, P),
    (PLAIN, None, {"all_proxy": "http://other.example", "http_proxy": P}, P),
    (SECURE, None, {"HTTPS_PROXY": "p.example:3128"}, P),
    (SECURE, None, {"HTTPS_PROXY": ""}, None),
    (SECURE, P, {"HTTPS_PROXY": "http://other.example", "NO_PROXY": "*"}, P),
    (SECURE, "https://p.example", {}, "https://p.example"),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "*"}, None),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "x.example, acme.example"}, None),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "ACME.Example"}, None),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": ".example"}, None),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "example"}, None),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "me.example"}, P),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "acme.example:443"}, None),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "acme.example:8443"}, P),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": " , "}, P),
    (SECURE, None, {"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, P),
    ("https://10.1.2.3/", None, {"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, None),
    ("https://10.1.2.3/", None, {"HTTPS_PROXY": P, "NO_PROXY": "10.1.2.3"}, None),
    ("https://10.1.2.3/", None, {"HTTPS_PROXY": P, "NO_PROXY": "10.1.2.4,fd00::/8"}, P),
    ("https://[fd00::1]/", None, {"HTTPS_PROXY": P, "NO_PROXY": "fd00::/8"}, None),
    ("https://[fd00::1]/", None, {"HTTPS_PROXY": P, "NO_PROXY": "[fd00::1]"}, None),
]


@pytest.mark.parametrize(("target", "option", "environment", "expected"), CHOICES)
def test_choice(target: str, option: str | None, environment: dict[str, str], expected: str | None) -> None:
    """The option wins; else the scheme's variable, else ALL_PROXY, unless NO_PROXY names the target."""
    proxy = choose_proxy(URL(target), option, environment)
    assert (proxy and proxy.url) == (expected and URL(expected))


def test_credentials_are_taken_out_of_the_url() -> None:
    """They may hold any character, percent-encoded."""
    proxy = choose_proxy(URL(SECURE), "http://us%40er:p%3A%C3%A4@p.example:3128", {})
    assert proxy is not None
    assert proxy.url == URL(P)
    assert proxy.authorization == "Basic dXNAZXI6cDrDpA=="


@pytest.mark.parametrize("text", ["socks5://p.example", "http://", "http://p.example:port", "://"])
def test_what_is_no_http_proxy_is_refused(text: str) -> None:
    """The error names the option, or the variable that it comes from."""
    with pytest.raises(SettingsError, match="--proxy: is no URL"):
        choose_proxy(URL(SECURE), text, {})
    with pytest.raises(SettingsError, match="HTTPS_PROXY: is no URL"):
        choose_proxy(URL(SECURE), None, {"https_proxy": text})


async def test_the_lease_serves(caplog: pytest.LogCaptureFixture) -> None:
    """With the aiohttp that is installed here, without a word."""
    with caplog.at_level(logging.DEBUG, "batcher"):
        transport = open_transport(Route(PLAIN))
    await transport.close()
    assert type(transport) is LeaseTransport
    assert caplog.records == []


@pytest.mark.parametrize("version", ["3.13.9", "3.15.0a1", "4.0.0"])
async def test_an_aiohttp_that_the_lease_does_not_know(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    """ClientSession serves then, and the log says why."""
    monkeypatch.setattr("aiohttp.__version__", version)
    await expect_session("not tested with aiohttp", caplog)


async def test_an_aiohttp_without_its_parser(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The parser in Python is not what the lease was tested with."""
    monkeypatch.setattr(http_parser, "HttpResponseParser", http_parser.HttpResponseParserPy)
    await expect_session("no compiled parser", caplog)


async def expect_session(reason: str, caplog: pytest.LogCaptureFixture) -> None:
    transport = open_transport(Route(PLAIN))
    await transport.close()
    assert type(transport) is SessionTransport
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert reason in vars(record)["facts"]["detail"]
