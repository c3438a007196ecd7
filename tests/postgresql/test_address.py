"""Addresses of ledgers: what they say, and that a password in one is shown nowhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from batcher.cli import main
from batcher.errors import LedgerRefused, OutputFailed, SettingsError
from batcher.flow.ledger.access import hold, members, open_to_read
from batcher.flow.ledger.address import Address, holds_password, ledger_name, of_shard
from batcher.settings import OPTIONS, Settings
from batcher.watch import told_settings
from tests.e2e.program import Program, many
from tests.e2e.servers import Background
from tests.flow.ledgers import holder, opened
from tests.postgresql.server import PASSWORD, Server

SECRET = "s3cr3t-of-the-database"
WITH_SECRETS = (
    f"postgresql://me:{SECRET}@db.example/x",
    f"postgres://me:{SECRET}@a.example,b.example:5433/x?ledger=acme&shard=3/16",
    f"postgresql:///x?user=me&password={SECRET}&ledger=acme",
    f"postgresql:///x?host=/run&sslpassword={SECRET}",
    f"POSTGRESQL://me:{SECRET}@db.example",
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS.values():
        monkeypatch.delenv(option.variable, raising=False)


@pytest.mark.parametrize(
    ("text", "connection", "name", "shard", "lease"),
    [
        ("postgresql://", "postgresql://", "default", None, 30.0),
        ("postgres://me@db/x", "postgresql://me@db/x", "default", None, 30.0),
        ("postgresql://db/x?ledger=a%20b", "postgresql://db/x", "a b", None, 30.0),
        ("postgresql://db/x?sslmode=require&ledger=a&lease=5", "postgresql://db/x?sslmode=require", "a", None, 5.0),
        (
            "postgresql://db/x?shard=3/16&target_session_attrs=any",
            "postgresql://db/x?target_session_attrs=any",
            "default",
            "3/16",
            30.0,
        ),
    ],
)
def test_ours_is_taken_out_and_the_rest_is_libpq_s(
    text: str, connection: str, name: str, shard: str | None, lease: float
) -> None:
    """And written again it is the same."""
    address = Address.read(text)
    assert address == Address(connection, name, shard, lease)
    assert Address.read(address.text()) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("postgresql://db/x?ledger=", "ledger= needs a name"),
        ("postgresql://db/x?shard=4/4", "shard= is not I/N"),
        ("postgresql://db/x?shard=none", "shard= is not I/N"),
        ("postgresql://db/x?lease=0", "lease= is not from 1 to 3600"),
        ("postgresql://db/a b", "it holds a blank"),
    ],
)
def test_what_is_none_is_told(text: str, reason: str) -> None:
    """As a setting, and on the command line."""
    with pytest.raises(SettingsError, match=reason):
        Settings(endpoint="http://127.0.0.1/", ledger=text)
    assert main(["status", text]) == 2


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_a_password_is_masked(text: str) -> None:
    """In names, settings, their repr, and the report's table; the rest can still be read."""
    assert holds_password(text)
    settings = Settings(endpoint="http://127.0.0.1/", ledger=text)
    for shown in (ledger_name(text), ledger_name(text, mask="***"), repr(settings), str(told_settings(settings))):
        assert SECRET not in shown
    assert "***" in ledger_name(text, mask="***")
    assert not holds_password(ledger_name(text))
    assert Address.read(ledger_name(text)).name == Address.read(text).name


def test_a_password_on_the_command_line_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """For every user of the machine can read it there; it is not shown once more."""
    for argv in (
        ["records.ndjson", "--endpoint=http://127.0.0.1:9/", f"--ledger={WITH_SECRETS[0]}"],
        *([command, WITH_SECRETS[0]] for command in ("status", "results", "verify", "report", "resubmit")),
        ["settle", WITH_SECRETS[2], "--line=1", "--applied"],
        ["status", "postgresql://me@db.example/x", WITH_SECRETS[2]],
    ):
        assert main(argv) == 2, argv
        said = capsys.readouterr()
        assert "every user of this machine can read a password on the command line" in said.err
        assert SECRET not in said.out + said.err
    assert main(["settle", "a", WITH_SECRETS[1]]) == 2
    assert main([WITH_SECRETS[1], "--endpoint=http://127.0.0.1:9/"]) == 2
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err


def test_show_config_masks_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a comment, for what is masked is no setting."""
    monkeypatch.setenv("VEETRO_BATCH_LEDGER", WITH_SECRETS[0])
    assert main(["--show-config", "--endpoint=http://127.0.0.1:9/"]) == 0
    line = '# ledger = "postgresql://me:***@db.example/x"  # from environment VEETRO_BATCH_LEDGER'
    assert line in capsys.readouterr().out.splitlines()


def test_a_run_tells_its_password_nowhere(tmp_path: Path, postgresql: Server) -> None:
    """Neither in what it prints and writes, nor in its errors, at the most talkative; it is in the environment here."""
    (tmp_path / "records.ndjson").write_bytes(many(20))
    environ = {"VEETRO_BATCH_LEDGER": postgresql.new_ledger()}
    options = ("--results=results", "--summary=summary", "--report=report", "--log-level=debug")
    program = Program(tmp_path)
    with Background() as background, background.sandbox() as sandbox:
        run = ("records.ndjson", *options, "--endpoint", sandbox.url)
        done = program.run(*run, environ=environ)
        assert done.code == 0, done.err
        refused = program.run(*run, "--order-by=none", environ=environ)
        assert refused.code == 9
        wrong = program.run(
            *run, environ={"VEETRO_BATCH_LEDGER": environ["VEETRO_BATCH_LEDGER"].replace("open", "0pen")}
        )
        assert (wrong.code, "password" in wrong.err) == (9, True)
        again = program.run(
            "resubmit", ledger_name(environ["VEETRO_BATCH_LEDGER"]), "--endpoint", sandbox.url, environ=environ
        )
        assert again.code == 0, again.err
    texts = [done.err, refused.err, wrong.err, again.err]
    texts += [(tmp_path / name).read_text() for name in ("results", "summary", "report")]
    assert any("postgresql://veetro@127.0.0.1" in text for text in texts)
    for text in texts:
        for form in (PASSWORD, "open%20sesame", "0pen"):
            assert form not in text


def test_a_shard_s_ledger_is_its_own() -> None:
    """By --shard, unless the address names one; a path is what it is."""
    assert of_shard("postgresql://db/x", "1/4") == "postgresql://db/x?shard=1/4"
    assert of_shard("postgresql://db/x?shard=2/4", None) == "postgresql://db/x?shard=2/4"
    assert of_shard("postgresql://db/x?shard=02/004", "2/4") == "postgresql://db/x?shard=02/004"
    assert Address.read("postgresql://db/x?shard=02/004").shard == "2/4"
    assert of_shard("run.ledger", "1/4") == "run.ledger"
    for shard in (None, "1/4"):
        with pytest.raises(SettingsError, match="it names the ledger of shard 2/4, and --shard"):
            settings_of("postgresql://db/x?shard=2/4", shard)
    settings_of("postgresql://db/x?shard=2/4", "2/4")


def settings_of(ledger: str, shard: str | None) -> Settings:
    read = OPTIONS["shard"].kind.read("none" if shard is None else shard, "--shard")
    return Settings(inputs=("x",), endpoint="http://127.0.0.1/", ledger=ledger, shard=read)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, exit 2."""
    for name in [name for name in sys.modules if name.startswith("batcher.flow.ledger.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for opening in (hold, open_to_read, members):
        with pytest.raises(SettingsError, match=r"pip install 'veetro-batch\[postgresql\]'"):
            opening("postgresql://db/x")


def test_what_cannot_be_reached_or_is_no_address_is_told(postgresql: Server) -> None:
    """With exit 9 and no wait, or with exit 2; and a database or a name that nobody has written to is no ledger."""
    with pytest.raises(OutputFailed, match=r"cannot be written: connection"):
        hold("postgresql://me@127.0.0.1:1/x", create=True)
    with pytest.raises(OutputFailed, match=r"cannot be read: .*no-such-database"):
        open_to_read(postgresql.url.replace("/ledgers", "/no-such-database"))
    with pytest.raises(SettingsError, match="no address that PostgreSQL's library takes") as refused:
        open_to_read(f"postgresql://me:{SECRET}@db/x?no_such_parameter=1")
    assert SECRET not in str(refused.value)
    with pytest.raises(LedgerRefused, match="there is no ledger"):
        open_to_read(postgresql.new_ledger())
    for opening in (hold, members):
        with pytest.raises(LedgerRefused, match="there is no ledger"):
            opening(postgresql.new_ledger())


def test_the_tables_are_made_once_however_many_begin(postgresql: Server) -> None:
    """All shards of a run begin at the same time, in a database where nothing is yet."""
    with postgresql.another_database("fresh") as url:
        with pytest.raises(LedgerRefused, match="no run has written to this database"):
            open_to_read(url)
        shards = [holder(f"{url}?shard={index}/6") for index in range(6)]
        told = [process.communicate("\n")[0] for process in shards]
        assert told == ["held\n"] * 6
        assert len(members(url)) == 6


def test_another_format_and_another_program_s_schema_are_refused(postgresql: Server) -> None:
    """And left alone."""
    with postgresql.another_database("other") as url:
        with opened(url, create=True):
            pass
        with postgresql.connect(url) as db:
            db.execute("UPDATE format SET version = 2")
        for opening in (open_to_read, hold):
            with pytest.raises(LedgerRefused, match="have format 2, and this version of the program reads 1"):
                opening(url)
        with postgresql.connect(url) as db:
            db.execute("DROP TABLE format")
        with pytest.raises(LedgerRefused, match="another program's"):
            hold(url, create=True)


def test_a_user_who_may_make_no_schema_is_told_what_to_ask_for(postgresql: Server) -> None:
    """An administrator can make an empty one for it, which is enough."""
    with postgresql.another_database("narrow") as url:
        with postgresql.connect(url) as db:
            db.execute("DROP ROLE IF EXISTS clerk")
            db.execute("CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
        clerk = f"postgresql://clerk:clerk@{url.partition('@')[2]}"
        with pytest.raises(OutputFailed, match="CREATE SCHEMA veetro_batch AUTHORIZATION clerk"):
            hold(clerk, create=True)
        with postgresql.connect(url) as db:
            db.execute("CREATE SCHEMA veetro_batch AUTHORIZATION clerk")
        with opened(clerk, create=True) as store:
            store.bind({"endpoint": "x"})


def test_where_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without PostgreSQL tests are skipped, but not where CI says that all is there."""
    from tests.postgresql import server

    monkeypatch.setattr(server, "binaries", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs PostgreSQL's server"):
        server.needed()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        server.needed()
