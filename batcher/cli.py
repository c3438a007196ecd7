# ruff: noqa: PLC0415 - what only a run needs is imported when one begins: help and errors do not wait for it
"""The command line: arguments and environment in, exit code out; what a run does is not decided here."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from batcher.commands import CHECK, DEMO, REPORT, RESUBMIT, RESULTS, SANDBOX, SETTLE, STATUS, SUBMIT, VERIFY
from batcher.config import READABLE, Gathered, gather, shown
from batcher.errors import BatcherError, RunAborted, SettingsError
from batcher.flow.ledger.address import holds_password, is_database
from batcher.loading import load_aiohttp
from batcher.options.texts import LEDGER
from batcher.settings import OPTIONS, Settings
from batcher.standard import complain, occupy, say
from batcher.usage import Arguments, help_text, options_markdown, parse, version_text

__all__ = ["main", "options_markdown"]

_SENDING = (SUBMIT, RESUBMIT)
PROBLEM_IN_PROGRAM, USAGE, INTERRUPTED = 1, 2, 6


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* (default: the process's arguments) says and return the exit code."""
    occupy()
    # Before a run hears signals itself; as process 1 of a container SIGTERM would else be ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log_level, log_format = os.environ.get(OPTIONS["log-level"].variable), "text"
    try:
        call = prepare(parse(sys.argv[1:] if argv is None else argv), os.environ)
        log_level, log_format = call.log_level or log_level, call.log_format
        return call.act()
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BatcherError as error:
        complain(f"error: {error}", log_format)
        return _exit_code(error)
    except Exception as error:  # noqa: BLE001 - the last resort: users get one line, not a stack
        if log_level == "debug":
            import traceback

            traceback.print_exc()
        hint = "please report it, with what VEETRO_BATCH_LOG_LEVEL=debug shows"
        complain(f"internal error: {type(error).__name__}: {error}; {hint}", log_format)
        return PROBLEM_IN_PROGRAM


def _exit_code(error: BatcherError) -> int:
    if isinstance(error, RunAborted):
        return error.exit_code
    return USAGE if isinstance(error, SettingsError) else PROBLEM_IN_PROGRAM


class Call(NamedTuple):
    """What the command line asks for, ready to be done.

    Attributes:
        act: does it and returns the exit code.
        log_level: of the run; None for commands that have no such option.
        log_format: likewise; ``text`` for the others.
    """

    act: Callable[[], int]
    log_level: str | None = None
    log_format: str = "text"


def prepare(arguments: Arguments, environ: Mapping[str, str]) -> Call:
    """Judge *arguments* with *environ*; ``SettingsError`` where they ask for nothing that can be done."""
    command = arguments.command
    if "help" in arguments.switches:
        return Call(lambda: say(help_text(command)))
    if "version" in arguments.switches:
        return Call(lambda: say(version_text()))
    if command is SANDBOX:
        return _sandbox(_own(arguments))
    if command.ledger:
        _refuse_addresses(arguments)
    if command in (RESULTS, STATUS, SETTLE, REPORT):
        return _of_ledger(arguments)
    secrets = [option.name for option in OPTIONS.values() if option.secret and command in _SENDING]
    gathered = gather([*command.options, *secrets], arguments.flags, environ)
    for warning in gathered.warnings:
        complain(f"warning: {warning}")
    if command is DEMO:
        return _demo(_own(arguments), gathered.values["progress"])
    if "show-config" in arguments.switches:
        return Call(lambda: _show_config(arguments, gathered))
    if command is RESUBMIT:
        return _resubmit(arguments, gathered)
    ledgers, inputs = _ledgers(arguments)
    settings = _ready(arguments, inputs, gathered)
    return Call(lambda: _act(arguments, ledgers, settings), settings.log_level, settings.log_format)


def _own(arguments: Arguments) -> dict[str, Any]:
    """The values of the options that only this command has, by name."""
    own = {option.name: option for option in arguments.command.own}
    given = {
        name: own[name].kind.read(texts[-1], own[name].flag) for name, texts in arguments.flags.items() if name in own
    }
    return {name: given.get(name, option.default) for name, option in own.items()}


def _ledgers(arguments: Arguments) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arguments that are further ledgers, and the inputs, which follow them."""
    inputs = arguments.inputs
    if arguments.command is not VERIFY:
        return (), inputs
    from batcher.again import is_ledger

    ledgers = tuple(takewhile(is_ledger, inputs))
    return ledgers, inputs[len(ledgers) :]


def _refuse_addresses(arguments: Arguments) -> None:
    """Raise ``SettingsError`` for a ledger whose address is none, or holds a password."""
    for ledger in filter(is_database, (arguments.ledger, *arguments.inputs)):
        LEDGER.read(ledger, "LEDGER")
        if holds_password(ledger):
            raise SettingsError("LEDGER", READABLE, "leave it out, and set PGPASSWORD or PGPASSFILE in the environment")


def _ready(arguments: Arguments, inputs: tuple[str, ...], gathered: Gathered) -> Settings:
    """Settings that a run can begin with."""
    if not inputs:
        if sys.stdin is None or sys.stdin.isatty():
            sys.stderr.write(help_text(arguments.command) + "\n")
            raise SettingsError("INPUT", "there are no records", "name a file, or pipe records in")
        inputs = ("-",)
    settings = gathered.settings(inputs)
    if arguments.command is SUBMIT:
        settings.require_endpoint()
    return settings


def _show_config(arguments: Arguments, gathered: Gathered) -> int:
    """The settings come first, also where they contradict each other: they tell where to look."""
    say("".join(f"{line}\n" for line in shown(gathered)))
    settings = gathered.settings(arguments.inputs)
    if arguments.command in _SENDING:
        settings.require_endpoint()
    return 0


def _act(arguments: Arguments, ledgers: tuple[str, ...], settings: Settings) -> int:
    """Do what reads records; *ledgers* are those behind the first one."""
    if arguments.command is SUBMIT:
        load_aiohttp()
        from batcher.run import submit_command

        return submit_command(settings)
    if arguments.command is VERIFY:
        from batcher.ledgers import verify_command

        return verify_command((arguments.ledger, *ledgers), settings)
    load_aiohttp()
    from batcher.dry import check_command, render_command

    if arguments.command is CHECK:
        return check_command(settings)
    return render_command(settings, pretty="pretty" in arguments.switches)


def _of_ledger(arguments: Arguments) -> Call:
    """What is done with a ledger alone."""
    command = arguments.command
    if command is STATUS:
        return Call(lambda: _status(arguments))
    if command is RESULTS:
        return _results(arguments)
    return _settle(arguments) if command is SETTLE else _report(arguments)


def _status(arguments: Arguments) -> int:
    from batcher.status import status_command

    return status_command((arguments.ledger, *arguments.inputs), as_json="json" in arguments.switches)


def _resubmit(arguments: Arguments, gathered: Gathered) -> Call:
    from batcher.again import Again, is_ledger, of_ledger, of_rejects

    path = arguments.ledger
    again = Again(is_ledger(path), gathered.values["allow_stale"])
    settings = gathered.settings(() if again.of_ledger else (path,))
    if again.of_ledger:
        settings = of_ledger(settings, path)
    elif "allow-stale" in arguments.flags:  # elsewhere it may stand for other calls
        problem = "rejects lines do not tell what was delivered later, so all of them are sent"
        raise SettingsError("--allow-stale", problem, "leave it out, or name a ledger")
    else:
        settings = of_rejects(settings)
    settings.require_endpoint()

    def act() -> int:
        load_aiohttp()
        from batcher.run import resubmit_command

        return resubmit_command(settings, again)

    return Call(act, settings.log_level, settings.log_format)


def _settle(arguments: Arguments) -> Call:
    lines = arguments.flags.get("line")
    if lines is not None:  # each one that is given counts
        arguments.flags["line"] = [",".join(lines)]
    own = _own(arguments)

    def act() -> int:
        from batcher.settle import settle_command

        return say(settle_command(arguments.ledger, own["line"], own["input"], arguments.switches))

    return Call(act)


def _results(arguments: Arguments) -> Call:
    output = _own(arguments)["output"]

    def act() -> int:
        from batcher.ledgers import results_command

        return results_command((arguments.ledger, *arguments.inputs), output)

    return Call(act)


def _report(arguments: Arguments) -> Call:
    output = _own(arguments)["output"]
    if output is None:
        raise SettingsError("--output", "is missing", "say where to write it, such as -o report.html")

    def act() -> int:
        from batcher.report import report_command

        return report_command((arguments.ledger, *arguments.inputs), output)

    return Call(act)


def _sandbox(values: Mapping[str, Any]) -> Call:
    from batcher.sandbox import SandboxSettings, parse_faults

    try:
        faults = parse_faults(values["faults"] or "")
    except ValueError as error:
        raise SettingsError("--faults", str(error)) from error
    settings = SandboxSettings(**{**values, "faults": faults})

    def act() -> int:
        from batcher.demo import sandbox_command

        return sandbox_command(settings)

    return Call(act)


def _demo(values: Mapping[str, Any], progress: str) -> Call:
    def act() -> int:
        from batcher.demo import demo_command

        return demo_command(values["records"], values["latency"], values["directory"], progress)

    return Call(act)
