from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from batcher.config import Gathered, gather, shown
from batcher.errors import SettingsError
from batcher.settings import OPTIONS, Settings
from batcher.values import Secret


def read(
    flags: dict[str, list[str]] | None = None,
    environ: dict[str, str] | None = None,
    names: tuple[str, ...] = tuple(OPTIONS),
) -> Gathered:
    return gather(names, flags or {}, environ or {})


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "veetro.toml"


def test_nothing_given_is_the_defaults() -> None:
    """Without any source the settings are those that a program gets from Settings()."""
    gathered = read()
    assert gathered.settings() == Settings()
    assert set(gathered.origins.values()) == {"default"}
    assert gathered.warnings == []


def test_flags_beat_environment_beats_file_beats_default(toml: Path) -> None:
    """Each source wins over the weaker ones, and the origin says which it was."""
    toml.write_text('connections = 1\ntimeout = "1m"\nmax-attempts = 1\n')
    gathered = read(
        {"config": [str(toml)], "connections": ["2", "3"]},
        {"VEETRO_BATCH_CONNECTIONS": "4", "VEETRO_BATCH_TIMEOUT": "2m"},
    )
    settings = gathered.settings()
    assert (settings.connections, settings.timeout, settings.max_attempts, settings.soap) == (3, 120.0, 1, "1.1")
    assert [gathered.origins[name] for name in ("connections", "timeout", "max-attempts", "soap")] == [
        "flag",
        "environment VEETRO_BATCH_TIMEOUT",
        f"file {toml}",
        "default",
    ]


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "default"])
def test_every_option_has_its_variable(name: str) -> None:
    """--max-attempts is VEETRO_BATCH_MAX_ATTEMPTS, and so for every option."""
    variable = "VEETRO_BATCH_" + name.upper().replace("-", "_")
    option = OPTIONS[name]
    gathered = read({}, {variable: str(option.kind.show(option.default)) or "x"})
    assert gathered.origins[name] == f"environment {variable}"
    assert gathered.warnings == []


def test_the_file_may_be_named_by_the_environment(toml: Path) -> None:
    """VEETRO_BATCH_CONFIG is --config, which beats it."""
    toml.write_text("connections = 7\n")
    other = toml.with_name("other.toml")
    other.write_text("connections = 8\n")
    environ = {"VEETRO_BATCH_CONFIG": str(toml)}
    assert read({}, environ).settings().connections == 7
    assert read({"config": [str(other)]}, environ).settings().connections == 8
    assert read({"config": ["none"]}, environ).settings().connections == 64


def test_toml_takes_its_own_types(toml: Path) -> None:
    """Numbers and lists need no quotes where the option is a number or a list."""
    toml.write_text(
        'soap = 1.2\ntimeout = 2.5\nconnect-timeout = 1\norder-by = ["SourceType", "SourceID"]\nstop-after = 3\n'
        'max-line-bytes = 4096\nretry-budget = "10%"\n'
    )
    settings = read({"config": [str(toml)]}).settings()
    assert settings.soap == "1.2"
    assert settings.timeout == 2.5
    assert settings.order_by == ("SourceType", "SourceID")
    assert str(settings.stop_after) == "3"
    assert settings.max_line_bytes == 4096
    assert settings.retry_budget == 0.1


@pytest.mark.parametrize("given", [[], ["10"]])
def test_a_connection_given_more_time_than_its_attempt_is_a_contradiction(given: list[str]) -> None:
    """A default contradicts no shorter --timeout, which then counts and is shown; a flag of the same value does."""
    gathered = read({"timeout": ["1"]} | ({"connect-timeout": given} if given else {}))
    if given:
        with pytest.raises(SettingsError, match="10 s is longer than --timeout, 1 s") as caught:
            gathered.settings()
        assert caught.value.option == "--connect-timeout"
        assert "connect-timeout = 10  # from flag" in shown(gathered)
        return
    assert gathered.settings().connect_timeout == 1.0
    assert "connect-timeout = 1  # from default" in shown(gathered)


def test_programs_need_not_shorten_the_time_to_connect() -> None:
    """The shorter of both counts, whatever a program gives."""
    assert Settings(timeout=2.0).connect_timeout == 2.0
    assert Settings(timeout=20.0).connect_timeout == 10.0
    assert Settings(timeout=20.0, connect_timeout=3.0).connect_timeout == 3.0


def test_contradictions_are_found_in_every_source(toml: Path) -> None:
    """A time to connect that the file or the environment gives is as explicit as a flag."""
    toml.write_text("connect-timeout = 7\n")
    for flags, environ in (
        ({"config": [str(toml)], "timeout": ["5"]}, {}),
        ({"timeout": ["5"]}, {"VEETRO_BATCH_CONNECT_TIMEOUT": "7"}),
    ):
        with pytest.raises(SettingsError, match="7 s is longer than --timeout, 5 s"):
            read(flags, environ).settings()


def test_default_values_are_filled_field_by_field(toml: Path) -> None:
    """The file's values keep their types, text from elsewhere stays text, and a stronger source replaces one field."""
    toml.write_text('[defaults]\nVeetroID = 5\nIsPrivate = true\nErrorMsg = "x"\nVeetroType = "old"\n')
    gathered = read(
        {"config": [str(toml)], "default": ["ErrorMsg=a,b=c", "SourceType="]},
        {"VEETRO_BATCH_DEFAULT": "ErrorMsg=lost, VeetroType=7"},
    )
    assert gathered.settings().default == {
        "VeetroID": 5,
        "IsPrivate": True,
        "ErrorMsg": "a,b=c",
        "VeetroType": "7",
        "SourceType": "",
    }
    assert gathered.origins["default.VeetroType"] == "environment VEETRO_BATCH_DEFAULT"
    assert gathered.origins["default.ErrorMsg"] == "flag"


@pytest.mark.parametrize(
    ("text", "values"),
    [("A=1,B=2", {"A": "1", "B": "2"}), ("A=1,2\nB=x\n", {"A": "1,2", "B": "x"}), ("A=1,", {"A": "1"})],
)
def test_the_environment_holds_several_default_values(text: str, values: dict[str, str]) -> None:
    """By commas on one line, by lines where there are several, so that a value may hold a comma."""
    assert read({}, {"VEETRO_BATCH_DEFAULT": text}).settings().default == values


@pytest.mark.parametrize(
    ("content", "option", "says"),
    [
        ("conections = 1", "conections in {}", "did you mean connections?"),
        ("max_attempts = 1", "max_attempts in {}", "did you mean max-attempts?"),
        ("[login]\nemail = 'a'", "login in {}", "there is no such option"),
        ("connections = 0", "connections in {}", "from 1 to 10000"),
        ("connections = true", "connections in {}", "a whole number"),
        ("retry-budget = 0.2", "retry-budget in {}", "write it in quotes"),
        ("email = 5", "email in {}", "write it in quotes"),
        ("order-by = [1]", "order-by in {}", "a list of fields"),
        ("password = 'x'", "password in {}", "password-file"),
        ("config = 'x'", "config in {}", "cannot name another"),
        ("default = ['A=1']", "default in {}", "[defaults]"),
        ("defaults = 1", "defaults in {}", "[defaults]"),
        ("[defaults]\nRemoteTimeStamp = 2024-01-01", "[defaults] in {}", "write dates in quotes"),
        ("[defaults]\nVeetroID = nan", "[defaults] in {}", "VeetroID cannot be nan"),
        ("a = 1 2", "--config", "line 1, column 7"),
        ("a = '\udcff'", "--config", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused(toml: Path, content: str, option: str, says: str) -> None:
    """An unknown key or a wrong value names the key, the file and what would be right."""
    toml.write_text(content, errors="surrogateescape")
    with pytest.raises(SettingsError) as caught:
        read({"config": [str(toml)]})
    assert caught.value.option == option.format(toml)
    assert says in str(caught.value)


def test_a_missing_file_is_refused(toml: Path) -> None:
    """The error says which file and why."""
    with pytest.raises(SettingsError, match=f"^--config: {toml} cannot be read: No such file or directory$"):
        read({"config": [str(toml)]})


def test_unknown_variables_are_warned_of() -> None:
    """They do not end a run, since Kubernetes makes some; a typo is pointed at."""
    gathered = read(
        {},
        {
            "VEETRO_BATCH_CONECTIONS": "1",
            "VEETRO_BATCH_METRICS_PORT": "tcp://10.0.0.1:9090",
            "VEETRO_BATCH_PORT": "tcp://10.0.0.1:80",
            "VEETRO_BATCH_SERVICE_HOST": "10.0.0.1",
            "VEETRO_BATCHES": "1",
            "HOME": "/",
        },
    )
    assert gathered.settings() == Settings()
    assert [warning.split(" is not used: ") for warning in gathered.warnings] == [
        ["VEETRO_BATCH_CONECTIONS", "there is no such option; did you mean VEETRO_BATCH_CONNECTIONS?"],
        ["VEETRO_BATCH_METRICS_PORT", "Kubernetes made it for a Service (enableServiceLinks: false stops that)"],
        ["VEETRO_BATCH_PORT", "Kubernetes made it for a Service (enableServiceLinks: false stops that)"],
        ["VEETRO_BATCH_SERVICE_HOST", "there is no such option"],
    ]


def test_an_empty_variable_is_not_set(toml: Path) -> None:
    """A manifest that leaves a value empty changes nothing."""
    toml.write_text("connections = 7\n")
    environ = {"VEETRO_BATCH_CONFIG": str(toml), "VEETRO_BATCH_CONNECTIONS": "", "VEETRO_BATCH_PASSWORD": ""}
    settings = read({}, environ).settings()
    assert (settings.connections, settings.password) == (7, None)


def test_secrets_come_from_the_environment() -> None:
    """They are held masked, and a password may be any word."""
    settings = read({"email": ["a@b.c"]}, {"VEETRO_BATCH_PASSWORD": "none\n"}).settings()
    assert settings.password == Secret("none")
    assert read({}, {"VEETRO_BATCH_SESSION": "k-1"}).settings().session == Secret("k-1")


def test_a_proxy_password_is_no_argument(toml: Path) -> None:
    """On the command line others would see it; in the environment and the file it is taken."""
    with pytest.raises(SettingsError) as caught:
        read({"proxy": ["http://me:hunter2@proxy:3128"]})
    assert "VEETRO_BATCH_PROXY" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    toml.write_text('proxy = "http://me:hunter2@proxy:3128"')
    assert read({"config": [str(toml)]}).settings().proxy == "http://me:hunter2@proxy:3128"


def test_a_command_passes_over_options_of_others(toml: Path) -> None:
    """One file and one environment serve every command: what another command's option says does not matter here."""
    toml.write_text('connections = 0\nemail = "a"\nlimit = 3\n[defaults]\nVeetroID = 1\n')
    gathered = read({"config": [str(toml)]}, {"VEETRO_BATCH_TIMEOUT": "soon"}, names=("limit", "config"))
    assert gathered.values == {"limit": 3, "config": str(toml)}
    assert gathered.warnings == []


def test_what_is_shown_is_a_file_that_gives_the_same_settings(toml: Path) -> None:
    """--show-config prints TOML with every setting and its origin; read back, it is the same."""
    gathered = read(
        {"default": ['ErrorMsg=a "b" \\ \x7f\u00e9', "Odd Name=1"], "order-by": ["none"], "stop-after": ["5%"]},
        {"VEETRO_BATCH_METRICS_PORT": "9090", "VEETRO_BATCH_SESSION_FAULT_PATTERN": r"\bgone\b"},
    )
    lines = list(shown(gathered))
    assert "connections = 64  # from default" in lines
    assert "metrics-port = 9090  # from environment VEETRO_BATCH_METRICS_PORT" in lines
    assert 'stop-after = "5%"  # from flag' in lines
    toml.write_text("\n".join(lines))
    again = read({"config": [str(toml)]}).settings()
    assert again == gathered.settings() or again.config == str(toml)
    for name in OPTIONS:
        attribute = name.replace("-", "_")
        if name != "config":
            assert getattr(again, attribute) == getattr(gathered.settings(), attribute)


def test_what_is_shown_holds_no_secret() -> None:
    """Secrets are masked, and masked lines are comments: no file takes them back."""
    environ = {"VEETRO_BATCH_PASSWORD": "hunter2", "VEETRO_BATCH_PROXY": "http://me:hunter3@proxy:3128"}
    text = "\n".join(shown(read({"email": ["a"]}, environ)))
    assert "hunter" not in text
    assert '# password = "***"  # from environment VEETRO_BATCH_PASSWORD' in text
    assert '# proxy = "http://***@proxy:3128"  # from environment VEETRO_BATCH_PROXY' in text
    assert "proxy" not in tomllib.loads(text)
