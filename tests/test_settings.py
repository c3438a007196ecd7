from __future__ import annotations

import re
from typing import Any

import pytest

from batcher.errors import SettingsError
from batcher.settings import OPTIONS, Settings
from batcher.values import Secret, Share

HTTPS = "https://acme.worketc.com/xml"


def read(name: str, text: str) -> Any:
    return OPTIONS[name].kind.read(text, f"--{name}")


@pytest.mark.parametrize("name", OPTIONS)
def test_every_default_survives_being_written_and_read(name: str) -> None:
    """What help and --show-config print for a default is a text that gives the same value."""
    option = OPTIONS[name]
    if name == "default":
        assert option.default == {}
    else:
        assert read(name, str(option.kind.show(option.default))) == option.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("timeout", "90", 90.0),
        ("timeout", "500ms", 0.5),
        ("connect-timeout", "100 ms", 0.1),
        ("timeout", "2m", 120.0),
        ("max-outage", "1.5h", 5400.0),
        ("drain-timeout", "0", 0.0),
        ("max-line-bytes", "16 MiB", 16_777_216),
        ("max-line-bytes", "64k", 65_536),
        ("max-line-bytes", "1MB", 1_048_576),
        ("max-line-bytes", "100", 100),
        ("retry-budget", "12.5%", 0.125),
        ("retry-budget", "0%", 0.0),
        ("concurrency", "auto", None),
        ("concurrency", "8", 8),
        ("order-by", "none", ()),
        ("order-by", "SourceType, SourceID", ("SourceType", "SourceID")),
        ("stop-after", "none", None),
        ("stop-after", "default", "default"),
        ("stop-after", "20", Share(20)),
        ("stop-after", "2.5%", Share(2.5, percent=True)),
        ("allow-rejected", "0", Share(0)),
        ("results", "-", "-"),
        ("results", "none", None),
        ("rejects", "./none", "./none"),
        ("metrics-port", "off", None),
        ("metrics-port", "0", 0),
        ("limit", "none", None),
        ("soap", "1.2", "1.2"),
        ("default", "ErrorMsg=a=b,c", {"ErrorMsg": "a=b,c"}),
        ("default", "ErrorMsg=", {"ErrorMsg": ""}),
        ("endpoint", "HTTP://127.0.0.1:8080/xml?a=b", "HTTP://127.0.0.1:8080/xml?a=b"),
        ("proxy", "http://me:word@proxy:3128", "http://me:word@proxy:3128"),
    ],
)
def test_texts_become_values(name: str, text: str, value: object) -> None:
    """Each kind of option reads the ways of writing that it promises."""
    assert read(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("connections", "0", "a whole number from 1 to 10000"),
        ("connections", "6.5", "a whole number"),
        ("connections", "\u0663", "a whole number"),
        ("max-attempts", "", "a whole number"),
        ("timeout", "0", "above 0"),
        ("timeout", "-1", "such as 90, 500ms, 2m"),
        ("timeout", "2 weeks", "such as 90, 500ms, 2m"),
        ("timeout", "nan", "such as 90, 500ms, 2m"),
        ("timeout", "1e9h", "such as 90, 500ms, 2m"),
        ("max-outage", "9999h", "out of range"),
        ("max-line-bytes", "0", "from 1 to 1 GiB"),
        ("max-line-bytes", "2GiB", "from 1 to 1 GiB"),
        ("max-line-bytes", "1.5k", "a size in bytes"),
        ("retry-budget", "0.2", "a share from 0% to 100%"),
        ("retry-budget", "101%", "a share from 0% to 100%"),
        ("stop-after", "0", "above 0"),
        ("stop-after", "few", "or none, or default"),
        ("allow-rejected", "-1", "such as 20 or 5%"),
        ("allow-rejected", "none", "such as 20 or 5%"),
        ("soap", "1.3", "1.1 or 1.2"),
        ("in-doubt", "Hold", "auto or hold or resend"),
        ("order-by", "a,,b", "a name is missing"),
        ("order-by", "a,a", "twice"),
        ("default", "ErrorMsg", "FIELD=VALUE"),
        ("default", "=x", "FIELD=VALUE"),
        ("session-fault-pattern", "gone(", "unterminated subpattern at position 4"),
        ("transient-fault-pattern", "a|", "matches every text"),
        ("rejects", "-", "./-"),
        ("summary", "", "it is empty"),
        ("email", "a\nb", "control character"),
        ("metrics-port", "65536", "from 0 to 65535, or off"),
        ("endpoint", "acme.worketc.com/xml", "begin with https://"),
        ("endpoint", "ftp://acme/xml", "begin with https://"),
        ("endpoint", "https:///xml", "names no host"),
        ("endpoint", "https://acme:99999/", "Port out of range"),
        ("endpoint", "https://acme/xml#top", "behind #"),
        ("endpoint", "https://acme/x y", "blank"),
        ("proxy", "http://proxy:3128/path", "more than a host and port"),
        ("proxy", "socks5://proxy", "begin with https://"),
    ],
)
def test_wrong_texts_are_refused(name: str, text: str, says: str) -> None:
    """The error names the option and says what would be right."""
    with pytest.raises(SettingsError) as caught:
        read(name, text)
    assert caught.value.option == f"--{name}"
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["endpoint", "proxy", "session"])
def test_errors_do_not_quote_what_may_be_secret(name: str) -> None:
    """An address with a password in the wrong place, or a secret with a stray character, shows in no message."""
    with pytest.raises(SettingsError) as caught:
        read(name, "https://me:hunter2@acme/#\u00e9")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "option", "says"),
    [
        ({"concurrency": 65}, "--concurrency", "raise --connections to at least 65"),
        ({"client_key": "k.pem"}, "--client-key", "--client-cert"),
        ({"email": "a@b.c"}, "--email", "--password-file"),
        ({"password": Secret("x")}, "VEETRO_BATCH_PASSWORD", "--email"),
        ({"password_file": "p"}, "--password-file", "--email"),
        ({"email": "a", "password_file": "p", "password": Secret("x")}, "--password-file", "VEETRO_BATCH_PASSWORD"),
        ({"session_file": "s", "session": Secret("x")}, "--session-file", "VEETRO_BATCH_SESSION"),
        ({"email": "a", "password_file": "p", "session_file": "s"}, "--email", "--session-file"),
        ({"email": "a", "session": Secret("x")}, "--email", "VEETRO_BATCH_SESSION"),
        ({"endpoint": "http://acme/xml", "session": Secret("x")}, "--endpoint", "use https"),
        ({"endpoint": "HTTP://acme/xml", "session_file": "s"}, "--endpoint", "use https"),
        ({"endpoint": "http://127.0.0.1.example/", "session_file": "s"}, "--endpoint", "use https"),
        (
            {"endpoint": "http://localhost/", "email": "a", "password_file": "p", "proxy": "http://proxy:1"},
            "--proxy",
            "plain http",
        ),
        ({"results": "a", "rejects": "./x/../a"}, "--rejects", "--results"),
        ({"rejects": "a", "summary": "a"}, "--summary", "--rejects"),
        ({"results": "in.ndjson", "inputs": ("./in.ndjson",)}, "--results", "INPUT ./in.ndjson"),
        ({"rejects": "b", "inputs": ("a", "b")}, "--rejects", "INPUT b"),
        ({"summary": "veetro.toml", "config": "veetro.toml"}, "--summary", "--config"),
        ({"results": "ca.pem", "ca_file": "ca.pem"}, "--results", "--ca-file"),
        ({"inputs": ("-", "-")}, "INPUT", "once"),
    ],
)
def test_contradictions_are_refused(given: dict[str, Any], option: str, says: str) -> None:
    """Settings that cannot be meant together name the option at fault and what would be right."""
    with pytest.raises(SettingsError) as caught:
        Settings(**given)
    assert caught.value.option == option
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"concurrency": 64},
        {"timeout": 10.0},
        {"endpoint": "http://acme/xml"},
        {"endpoint": HTTPS, "email": "a", "password": Secret("x"), "proxy": "http://proxy:1"},
        {"endpoint": "http://localhost:80/", "session": Secret("x")},
        {"endpoint": "http://LOCALHOST/", "session": Secret("x")},
        {"endpoint": "http://127.1.2.3/", "session": Secret("x"), "proxy": "http://127.0.0.1:3128"},
        {"endpoint": "http://[::1]:8080/", "session_file": "s"},
        {"results": "/dev/null", "rejects": "/dev/null"},
        {"client_cert": "both.pem"},
        {"inputs": ("-", "a")},
    ],
)
def test_what_goes_together_is_accepted(given: dict[str, Any]) -> None:
    """The rules refuse no settings that make sense."""
    settings = Settings(**given)
    assert {name: getattr(settings, name) for name in given} == given


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"connections": 0}, "--connections"),
        ({"connections": 2.5}, "--connections"),
        ({"connections": "64"}, "--connections"),
        ({"connections": None}, "--connections"),
        ({"timeout": "120"}, "--timeout"),
        ({"soap": "1.3"}, "--soap"),
        ({"order_by": ["SourceID"]}, "--order-by"),
        ({"session": "plain"}, "VEETRO_BATCH_SESSION"),
        ({"session_fault_pattern": "text"}, "--session-fault-pattern"),
        ({"default": {"VeetroID": [1]}}, "--default"),
        ({"default": {"VeetroID": float("nan")}}, "--default"),
    ],
)
def test_values_from_code_are_checked_too(given: dict[str, Any], option: str) -> None:
    """A program that makes its settings itself meets the same rules as the command line."""
    with pytest.raises(SettingsError, match=f"^{option}: "):
        Settings(**given)


def test_whole_numbers_and_own_patterns_are_fine_from_code() -> None:
    """120 is a time as good as 120.0, and a pattern keeps the flags that it was compiled with."""
    pattern = re.compile("GONE")
    settings = Settings(timeout=120, session_fault_pattern=pattern)
    assert settings.timeout == 120
    assert settings.session_fault_pattern is pattern


def test_secrets_show_nowhere() -> None:
    """Neither the settings' repr nor the secret's own tells it; line ends of files are no part of it."""
    settings = Settings(endpoint=HTTPS, email="a", password=Secret("hunter2\r\n"), proxy="http://me:hunter3@proxy:1")
    assert settings.password is not None
    assert settings.password.reveal() == "hunter2"
    assert settings.password == Secret("hunter2")
    assert "hunter" not in f"{settings!r} {settings.password} {settings.password!r}"


def test_the_endpoint_is_asked_for_with_an_example() -> None:
    """Who sends without an endpoint is told how to name one."""
    assert Settings(endpoint=HTTPS).require_endpoint() == HTTPS
    with pytest.raises(SettingsError, match=r"--endpoint https://acme\.worketc\.com/xml"):
        Settings().require_endpoint()


@pytest.mark.parametrize(
    ("share", "total", "amount"),
    [(Share(20), 5, 20), (Share(7, percent=True), 100, 7), (Share(0.07, percent=True), 10_000, 7), (Share(0), 9, 0)],
)
def test_shares_count_exactly(share: Share, total: int, amount: float) -> None:
    """7% of 100 records is 7 records, and not a little more."""
    assert share.of(total) == amount


@pytest.mark.parametrize(
    ("text", "session", "transient"),
    [
        ("Your session has expired", True, False),
        ("Invalid VeetroSession header", True, False),
        ("SessionKey not found", True, False),
        ("Please log in again", True, False),
        ("You are not logged in", True, False),
        ("Login required", True, False),
        ("User is not authenticated", True, False),
        ("Unauthorised access", True, False),
        ("not authorized", True, False),
        ("You do not have PERMISSION", True, False),
        ("EntityID_Owner is in someone's possession", False, False),
        ("Catalogin failed", False, False),
        ("Object reference not set to an instance of an object.", False, False),
        ("The process was deadlocked on lock resources and chosen as the victim.", False, True),
        ("Rerun the transaction.", False, True),
        ("The server is too busy", False, True),
        ("Too many requests", False, True),
        ("Service temporarily unavailable, try again later", False, True),
        ("The server is shutting down", False, True),
        ("Timeout expired. The timeout period elapsed prior to completion of the operation", False, False),
        ("SourceID is too long. Please correct it and try again.", False, False),
        ("BusyStatus is unknown", False, False),
    ],
)
def test_fault_texts_are_told_apart(text: str, session: bool, transient: bool) -> None:  # noqa: FBT001 - a table
    """The patterns know talk of sessions and of passing trouble, and neither inside of other words."""
    settings = Settings()
    assert bool(settings.session_fault_pattern.search(text)) is session
    assert bool(settings.transient_fault_pattern.search(text)) is transient
