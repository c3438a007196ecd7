from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from batcher.cli import main
from batcher.commands import COMMANDS
from batcher.errors import BatcherError, InputFailed, ServiceUnusable
from batcher.flow.ledger.sqlite.store import SqliteStore
from batcher.sandbox import SandboxSettings
from batcher.settings import OPTIONS, Settings
from tests.in_process import alone

ENDPOINT = ("--endpoint", "https://acme.worketc.com/xml")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)


class Run(ModuleType):
    """Stands for the modules that run things: notes the call, and ends it as told."""

    def __init__(self) -> None:
        super().__init__("stand_in")
        self.calls: list[tuple[object, ...]] = []
        self.ending: int | BaseException = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.endswith("_command"):
            raise AttributeError(name)
        return lambda *given, **named: self._end(name, *given, *named.values())

    def _end(self, *call: object) -> int:
        self.calls.append(call)
        if isinstance(self.ending, BaseException):
            raise self.ending
        return self.ending


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    stand_in = Run()
    for name in ("run", "dry", "demo", "ledgers", "status"):
        monkeypatch.setitem(sys.modules, f"batcher.{name}", stand_in)
    return stand_in


def test_without_a_command_word_records_are_submitted(run: Run) -> None:
    """Inputs and options may stand in any order, and the run's exit code is the program's."""
    run.ending = 3
    assert main(["a", *ENDPOINT, "b", "--soap=1.2", "-", "--connections", "8"]) == 3
    expected = Settings(inputs=("a", "b", "-"), endpoint=ENDPOINT[1], soap="1.2", connections=8)
    assert run.calls == [("submit_command", expected)]


def test_standard_input_is_read_where_it_is_no_terminal(run: Run) -> None:
    """No INPUT and a pipe: the pipe holds the records."""
    assert main(ENDPOINT) == 0
    assert run.calls == [("submit_command", Settings(inputs=("-",), endpoint=ENDPOINT[1]))]


def test_what_follows_two_dashes_is_input(run: Run) -> None:
    """So a file may have any name."""
    assert main([*ENDPOINT, "--", "--timeout", "demo"]) == 0
    assert run.calls == [("submit_command", Settings(inputs=("--timeout", "demo"), endpoint=ENDPOINT[1]))]


def test_a_file_named_like_a_command_is_given_with_its_folder(run: Run) -> None:
    """./demo is a file; demo behind an option would be a command that comes too late, and sends nothing."""
    assert main(["./demo", *ENDPOINT]) == 0
    assert run.calls == [("submit_command", Settings(inputs=("./demo",), endpoint=ENDPOINT[1]))]
    assert main([*ENDPOINT, "check", "file"]) == 2
    assert len(run.calls) == 1


def test_check_takes_records_options(run: Run) -> None:
    """The word is no INPUT; no endpoint is needed, and one in the environment is not minded."""
    assert main(["check", "--order-by", "SyncIdentifier", "file", "--default", "A=1", "--default", "B=x,y"]) == 0
    expected = Settings(inputs=("file",), order_by=("SyncIdentifier",), default={"A": "1", "B": "x,y"})
    assert run.calls == [("check_command", expected)]


@pytest.mark.parametrize(("switches", "pretty"), [((), False), (("--pretty",), True)])
def test_render_may_indent(run: Run, switches: tuple[str, ...], pretty: bool) -> None:  # noqa: FBT001 - a table
    """The command hands on whether envelopes are indented."""
    assert main(["render", "file", *switches]) == 0
    assert run.calls == [("render_command", Settings(inputs=("file",)), pretty)]


def test_the_first_argument_of_some_commands_is_a_ledger(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows it are inputs, wherever options stand; no endpoint is needed."""
    run.ending = 3
    assert main(["results", "kept"]) == main(["results", "one", "two"]) == 3
    assert main(["status", "kept"]) == main(["status", "--json", "--", "--kept"]) == 3
    monkeypatch.setenv("VEETRO_BATCH_LIMIT", "7")
    assert main(["verify", "kept", "a", "b"]) == main(["verify", "--limit", "5", "kept"]) == 3
    assert run.calls == [
        ("results_command", ("kept",), "-"),
        ("results_command", ("one", "two"), "-"),
        ("status_command", ("kept",), False),
        ("status_command", ("--kept",), True),
        ("verify_command", ("kept",), Settings(inputs=("a", "b"), limit=7)),
        ("verify_command", ("kept",), Settings(inputs=("-",), limit=5)),
    ]


def test_ledgers_of_several_shards_are_known_by_what_they_are(run: Run, tmp_path: Path) -> None:
    """Verify takes further ledgers before the inputs: what begins as a database is no records."""
    ledgers = [str(tmp_path / name) for name in ("one", "two")]
    for ledger in ledgers:
        SqliteStore(ledger, create=True).close()
    records = tmp_path / "records"
    records.write_bytes(b"{}\n")
    assert main(["verify", "first", *ledgers, str(records), ledgers[0]]) == 0
    inputs = (str(records), ledgers[0])
    assert run.calls == [("verify_command", ("first", *ledgers), Settings(inputs=inputs))]


def test_demo_has_options_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its defaults are a run of well under a minute."""
    monkeypatch.setenv("VEETRO_BATCH_PROGRESS", "plain")
    assert main(["demo"]) == 0
    assert main(["demo", "--records", "10", "--latency", "5ms", "--directory", "d", "--progress", "off"]) == 0
    assert run.calls == [
        ("demo_command", 20_000, 0.02, None, "plain"),
        ("demo_command", 10, 0.005, "d", "off"),
    ]


def test_sandbox_is_told_how_to_behave(run: Run) -> None:
    """Every option of the sandbox reaches it; it reads no environment, in which Kubernetes has a PORT for us."""
    arguments = "--port 0 --host ::1 --latency 50ms --capacity 3 --faults server=1%,reset=0.5% --seed 7 --login a@b:p:w"
    assert main(["sandbox"]) == 0
    assert main(["sandbox", *arguments.split()]) == 0
    assert run.calls == [
        ("sandbox_command", SandboxSettings(port=8080)),
        (
            "sandbox_command",
            SandboxSettings(
                port=0,
                host="::1",
                latency=0.05,
                capacity=3,
                faults={"server": 0.01, "reset": 0.005},
                seed=7,
                login=("a@b", "p:w"),
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["results"], "LEDGER: is missing; name what the run had as --ledger"),
        (["status", "--json"], "LEDGER: is missing"),
        (["verify"], "LEDGER: is missing"),
        (["settle", "kept", "file"], "file: veetro-batch settle reads no INPUT; see veetro-batch settle --help"),
        (["verify", "kept", "--skip", "3"], "--skip: veetro-batch verify has no such option"),
        (["x"], "--endpoint: is missing; name the service, such as --endpoint https://acme.worketc.com/xml"),
        (["stauts", "kept"], "stauts: there is neither such a command nor such a file; did you mean status?"),
        (["resub", "kept"], "did you mean resubmit?"),
        (["--tiemout", "3"], "--tiemout: there is no such option; did you mean --timeout?"),
        (["--max", "3"], "--max: there is no such option; did you mean --max-attempts?"),
        (["--frobnicate"], "--frobnicate: there is no such option; see veetro-batch --help"),
        (["-x"], "-x: there is no such option; see veetro-batch --help"),
        (["--config", "a\n\x1b[2Jb"], r"--config: a\x0a\x1b[2Jb cannot be read"),
        (["--timeout"], "--timeout: expected one argument; see veetro-batch --help"),
        (["--timeout", "soon"], "--timeout: 'soon' is not a time in seconds"),
        (["--show-config=yes"], "--show-config: ignored explicit argument 'yes'; see veetro-batch --help"),
        (["--password", "hunter2"], "--password: every user of this machine can read a secret on the command line;"),
        (["--password=hunter2"], "use --password-file, or VEETRO_BATCH_PASSWORD in the environment"),
        (["--session=hunter2"], "use --session-file, or VEETRO_BATCH_SESSION in the environment"),
        (
            ["--pasword=hunter2"],
            "--pasword: every user of this machine can read a secret on the command line; use --password-file",
        ),
        (["--soap", "1.2", "demo"], "demo: a command must be the first word; write veetro-batch demo ..., or ./demo"),
        (
            ["check", "--endpoint", "x"],
            "--endpoint: veetro-batch check has no such option; see veetro-batch check --help",
        ),
        (["demo", "x"], "x: veetro-batch demo reads no INPUT"),
        (["sandbox", "--", "x"], "x: veetro-batch sandbox reads no INPUT"),
        (["sandbox", "--faults", "srver=1%"], "--faults: unknown fault 'srver'; did you mean server?"),
        (["sandbox", "--login", "hunter2"], "--login: the value is not EMAIL:PASSWORD"),
        (["sandbox", "--port", "x"], "--port: 'x' is not a whole number from 0 to 65535"),
        (["demo", "--records", "0"], "--records: '0' is not a whole number from 1 to"),
    ],
)
def test_usage_errors_end_in_2(run: Run, capsys: pytest.CaptureFixture[str], argv: list[str], says: str) -> None:
    """One line on standard error says what is wrong and what would be right, never a secret; nothing is run."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("veetro-batch: error: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert "hunter2" not in captured.err
    assert run.calls == []


@pytest.mark.parametrize(
    ("ending", "status", "says"),
    [
        (InputFailed("a.ndjson: No such file"), 9, "error: a.ndjson: No such file"),
        (ServiceUnusable("refused"), 7, "error: refused"),
        (BatcherError("odd"), 1, "error: odd"),
        (KeyboardInterrupt(), 6, "interrupted"),
        (
            KeyError("x"),
            1,
            "internal error: KeyError: 'x'; please report it, with what VEETRO_BATCH_LOG_LEVEL=debug shows",
        ),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    run: Run, capsys: pytest.CaptureFixture[str], ending: BaseException, status: int, says: str
) -> None:
    """No error shows a stack to people who did not ask for one."""
    run.ending = ending
    assert main(["x", *ENDPOINT]) == status
    assert capsys.readouterr().err == f"veetro-batch: {says}\n"


@pytest.mark.parametrize("argv", [["x", *ENDPOINT, "--log-level", "debug"], ["sandbox"]])
def test_a_stack_is_shown_on_demand(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    """--log-level debug, or its variable where the command has no such option, shows where an internal error arose."""
    monkeypatch.setenv("VEETRO_BATCH_LOG_LEVEL", "debug" if argv == ["sandbox"] else "info")
    run.ending = KeyError("x")
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert "in _end" in error


def test_warnings_do_not_stop_a_run(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown variable is told of on standard error, and the run goes on."""
    monkeypatch.setenv("VEETRO_BATCH_CONECTIONS", "1")
    assert main(["x", *ENDPOINT]) == 0
    assert "veetro-batch: warning: VEETRO_BATCH_CONECTIONS is not used" in capsys.readouterr().err
    assert len(run.calls) == 1


@pytest.mark.parametrize("command", [(), ("check",), ("render",)])
def test_no_input_and_a_terminal_shows_the_help(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """It does not wait for someone to type records; standard output, which may be a file, stays empty."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "examples:" in captured.err
    assert captured.err.endswith("error: INPUT: there are no records; name a file, or pipe records in\n")
    assert main([*command, "-", *(() if command else ENDPOINT)]) == 0
    assert len(run.calls) == 1


def test_show_config_tells_even_where_settings_are_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """The settings are printed first, since they say where to look; the error and its exit code stay."""
    assert main([*ENDPOINT, "--show-config", "--timeout", "2m"]) == 0
    captured = capsys.readouterr()
    assert 'endpoint = "https://acme.worketc.com/xml"  # from flag\n' in captured.out
    assert "timeout = 120  # from flag\n" in captured.out
    assert captured.err == ""
    assert main([*ENDPOINT, "--show-config", "--concurrency", "100"]) == 2
    captured = capsys.readouterr()
    assert "concurrency = 100  # from flag\n" in captured.out
    assert "raise --connections" in captured.err
    assert main(["--show-config"]) == 2
    assert "--endpoint: is missing" in capsys.readouterr().err
    assert main(["check", "--show-config"]) == 0
    assert "endpoint" not in capsys.readouterr().out


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main([*command, "--help"]) == 0
    captured: Any = capsys.readouterr()
    return str(captured.out)


@pytest.mark.parametrize("command", [(), *((word,) for word in COMMANDS)])
def test_help_leads_with_examples_and_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Examples come before usage and options, and no line is wider than 100 columns."""
    monkeypatch.setenv("COLUMNS", "200")
    text = help_of(capsys, *command)
    assert text.index("examples:") < text.index("usage:") < text.index("--help")
    assert max(map(len, text.splitlines())) <= 100


def test_help_lists_every_option_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    """Submit's help has the commands and all options, grouped."""
    text = help_of(capsys)
    headings = [
        "commands", "service", "login", "sending", "records", "output", "observing", "TLS and proxy", "configuration",
    ]  # fmt: skip
    places = [text.index(f"\n{heading}") for heading in headings]
    assert places == sorted(places)
    shown = {line.split()[0] for line in text.splitlines() if line.startswith("  --")}
    options = {option.flag for option in OPTIONS.values() if not option.secret} - {"--allow-stale"}
    assert shown == options | {"--show-config", "--version"}
    assert "--allow-stale" in help_of(capsys, "resubmit")
