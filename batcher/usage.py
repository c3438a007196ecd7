"""How a command line is taken apart, and the help and the README's table: all made of the commands and options."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from batcher import __version__
from batcher.commands import COMMANDS, PROGRAM, RESUBMIT, SETTLE, SHOW_CONFIG, SUBMIT, Command, Switch
from batcher.config import closest
from batcher.core.fingerprint import input_name
from batcher.errors import SettingsError
from batcher.options import Option
from batcher.options.kinds import SWITCH
from batcher.settings import OPTIONS


class Arguments(NamedTuple):
    """A command line, taken apart but not yet judged.

    Attributes:
        flags: every value of every option given, by name.
        switches: those given, by name.
        inputs: what is neither.
        ledger: the first of these, for commands that read one; else empty.
    """

    command: Command
    flags: dict[str, list[str]]
    switches: frozenset[str]
    inputs: tuple[str, ...]
    ledger: str = ""


def parse(argv: Sequence[str]) -> Arguments:
    """Take a command line apart; ``SettingsError`` where an argument is unknown or lacks its value."""
    command = COMMANDS.get(argv[0], SUBMIT) if argv else SUBMIT
    rest = list(argv[1:] if command.word else argv)
    end = rest.index("--") if "--" in rest else len(rest)
    parser, switches = _parser(command), {entry.name for entry in command.entries() if isinstance(entry, Switch)}
    try:
        given, others = parser.parse_known_args(rest[:end])
    except argparse.ArgumentError as error:
        raise SettingsError(error.argument_name or "argument", error.message, f"see {command.name} --help") from error
    tail = rest[end + 1 :]
    if "help" not in given and "version" not in given:
        _refuse(command, argv[0] if argv else "", others, tail)
    flags = {name: values for name, values in vars(given).items() if name not in switches}
    inputs = (*others, *tail)
    ledger, inputs = (inputs[0], inputs[1:]) if command.ledger and inputs else ("", inputs)
    return Arguments(command, flags, frozenset(switches & set(vars(given))), inputs, ledger)


def _refuse(command: Command, first: str, others: list[str], tail: list[str]) -> None:
    """What is left over is an INPUT: not another option, nor a command too late, or misspelt as the *first* argument.

    Behind ``--``, in *tail*, anything is one.
    """
    for argument in others:
        if argument.startswith("-") and argument != "-":
            flag = argument.partition("=")[0]  # what follows may be a password
            raise SettingsError(flag, *_unknown(flag, command))
        if command is SUBMIT and argument in COMMANDS:
            remedy = f"write {PROGRAM} {argument} ..., or ./{argument} for a file of that name"
            raise SettingsError(argument, "a command must be the first word", remedy)
    if command is SUBMIT and first in others[:1] and first.isalpha() and not Path(first).exists():
        near = closest(first, COMMANDS)
        if near:
            raise SettingsError(first, "there is neither such a command nor such a file", f"did you mean {near}?")
    inputs = [*others, *tail]
    if command.ledger and not inputs:
        raise SettingsError("LEDGER", "is missing", "name what the run had as --ledger")
    if not (command.inputs or command.shards) and len(inputs) > command.ledger:
        raise SettingsError(
            input_name(inputs[command.ledger]), f"{command.name} reads no INPUT", f"see {command.name} --help"
        )


def _unknown(flag: str, command: Command) -> tuple[str, str]:
    """Problem and remedy."""
    if flag.lstrip("-") in OPTIONS and not OPTIONS[flag.lstrip("-")].secret:
        return f"{command.name} has no such option", f"see {command.name} --help"
    secrets = {option.flag: option for option in OPTIONS.values() if option.secret}
    near = closest(flag, [*(f"--{entry.name}" for entry in command.entries()), *secrets])
    if near in secrets:
        problem = "every user of this machine can read a secret on the command line"
        return problem, f"use {near}-file, or {secrets[near].variable} in the environment"
    return "there is no such option", f"did you mean {near}?" if near else f"see {command.name} --help"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=_width())


def _width() -> int:
    return min(100, shutil.get_terminal_size().columns - 2)


def _parser(command: Command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command.name,
        usage=argparse.SUPPRESS,
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    entries = sorted(command.entries(), key=lambda entry: _heading_order(command, entry.group))
    for heading, members in groupby(entries, key=lambda entry: entry.group):
        group = parser.add_argument_group(heading)
        for entry in members:
            _add(group, entry)
    return parser


def _heading_order(command: Command, heading: str) -> int:
    headings = dict.fromkeys(entry.group for entry in command.entries())
    return list(headings).index(heading)


def _add(group: argparse._ArgumentGroup, entry: Option | Switch) -> None:
    if isinstance(entry, Switch):
        short = ("-h",) if entry.name == "help" else ()
        group.add_argument(*short, f"--{entry.name}", dest=entry.name, action="store_true", help=entry.help)
        return
    default = "" if entry.shown_default == "none" else f" [{entry.shown_default}]"
    text = f"{entry.help}{default}".replace("%", "%%")
    short = (f"-{entry.short}",) if entry.short else ()
    if entry.kind is SWITCH:
        group.add_argument(entry.flag, dest=entry.name, action="append_const", const="on", help=text)
    else:
        group.add_argument(*short, entry.flag, dest=entry.name, action="append", metavar=entry.metavar, help=text)


def help_text(command: Command) -> str:
    """The help of *command*: examples, usage, commands, options."""
    examples = "\n".join(f"  {line}\n      {purpose}" for line, purpose in command.examples)
    parts = [
        textwrap.fill(command.summary, _width()),
        f"examples:\n{examples}",
        f"usage: {command.name} {command.takes}",
    ]
    if command.ledger:
        read = "" if command in (RESUBMIT, SETTLE) else "; it is only read"
        rejects = ", REJECTS one that it had as --rejects, or -" if command is RESUBMIT else ""
        shards = ";\n  several are those of the shards of one run" if command.shards else ""
        parts.append(f"  LEDGER is what a run had as --ledger{rejects}{read}{shards}")
    if command.inputs:
        parts.append(
            "  INPUT is a path, an object (s3://, gs://, az://, https://) or - (standard input, also the\n"
            "  default when it is not a terminal); gzip and zstd are known by their first bytes"
        )
    if command is SUBMIT:
        listed = "\n".join(_listed(word, other.summary) for word, other in COMMANDS.items())
        parts.append(f"commands (each has its own --help):\n{listed}")
    parts.append(_parser(command).format_help().strip("\n"))
    if "config" in command.options:
        parts.append(_SOURCES)
    return "\n\n".join(parts) + "\n"


_SOURCES = """\
Every option is also an environment variable (--max-attempts is VEETRO_BATCH_MAX_ATTEMPTS)
and a key of the TOML file (max-attempts). Flags beat environment beats file beats default."""


def _listed(word: str, summary: str) -> str:
    return textwrap.fill(summary, _width(), initial_indent=f"  {word:9}", subsequent_indent=" " * 11)


def version_text() -> str:
    """What ``--version`` prints."""
    return f"{PROGRAM} {__version__}\n"


def options_markdown() -> str:
    """The options of submit as a Markdown table, group by group, for the README."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for heading, members in groupby(OPTIONS.values(), key=lambda option: option.group):
        lines.append(f"| **{heading}** | | |")
        for option in members:
            name = f"{option.public_name} {option.metavar}".strip()
            cells = (f"`{name}`", option.shown_default, option.help)
            lines.append(f"| {' | '.join(_cell(text) for text in cells)} |")
    lines.append(f"| `--{SHOW_CONFIG.name}` | | {SHOW_CONFIG.help} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
