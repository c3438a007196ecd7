"""From flags, environment and a TOML file to settings, and back to text that shows where each came from.

Flags beat the environment, which beats the file, which beats defaults; for ``--default`` field by field. A variable
that is empty counts as not set: that is how compose files and manifests leave one out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batcher.contradictions import refuse_longer_connecting
from batcher.errors import SettingsError
from batcher.flow.ledger.address import holds_password, is_database, ledger_name
from batcher.options import Option
from batcher.options.kinds import SWITCH
from batcher.options.texts import filler, fillings, masked
from batcher.settings import OPTIONS, Settings

PREFIX = "VEETRO_BATCH_"
READABLE = "every user of this machine can read a password on the command line"
DEFAULTS = "defaults"
"""The table of the TOML file that holds what ``--default`` gives."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the sources say, before it is known whether it goes together.

    Attributes:
        values: by attribute of ``Settings``, for every option asked for.
        origins: where a value came from, by option's name; for ``--default`` by ``default.FIELD``.
        warnings: what was passed over and perhaps meant otherwise, for people.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def settings(self, inputs: tuple[str, ...] = ()) -> Settings:
        """The settings; ``SettingsError`` where they contradict each other."""
        if self.origins.get("connect-timeout", "default") != "default":
            refuse_longer_connecting(self.values["connect_timeout"], self.values["timeout"])
        return Settings(inputs=inputs, **self.values)

    def take(self, option: Option, value: Any, origin: str) -> None:
        """Let *value* replace what a weaker source gave."""
        if option.name != "default":
            self.values[option.attribute] = value
            self.origins[option.name] = origin
            return
        self.values[option.attribute] = {**self.values[option.attribute], **value}
        self.origins.update({f"default.{name}": origin for name in value})


def gather(names: Collection[str], flags: Mapping[str, list[str]], environ: Mapping[str, str]) -> Gathered:
    """Read the options *names* from every source.

    *flags* holds what was given on the command line, by option's name; the last one counts, for ``default`` all do.
    Options that are known but not among *names* are another command's and are passed over in environment and file.
    """
    gathered = Gathered()
    options = [option for option in OPTIONS.values() if option.name in names]
    for option in options:
        gathered.values[option.attribute] = option.default
        gathered.origins[option.name] = "default"
    variables = _variables(environ, gathered.warnings)
    path = _config(flags, variables)
    if path is not None and OPTIONS["config"] in options:
        _take_file(gathered, options, path)
    for option in options:
        if (text := variables.get(option.variable)) is not None:
            for piece in fillings(text) if option.name == "default" else [text]:
                gathered.take(option, option.kind.read(piece, option.variable), f"environment {option.variable}")
    for option in options:
        for text in flags.get(option.name, ()):
            gathered.take(option, _from_flag(option, text), "flag")
    if gathered.origins.get("connect-timeout") == "default":  # a default contradicts nobody
        gathered.values["connect_timeout"] = min(gathered.values["connect_timeout"], gathered.values["timeout"])
    return gathered


def _config(flags: Mapping[str, list[str]], variables: Mapping[str, str]) -> str | None:
    """The file of settings: the one option that must be known before the file is read."""
    option = OPTIONS["config"]
    named = option.flag if option.name in flags else option.variable
    text = flags[option.name][-1] if option.name in flags else variables.get(option.variable, "none")
    path: str | None = option.kind.read(text, named)
    return path


def _from_flag(option: Option, text: str) -> Any:
    value = option.kind.read(text, option.flag)
    if option.name == "proxy" and value is not None and masked(value) != value:
        raise SettingsError(option.flag, READABLE, f"set {option.variable} or HTTPS_PROXY in the environment")
    if option.name == "ledger" and value is not None and holds_password(value):
        raise SettingsError(option.flag, READABLE, f"set {option.variable} or PGPASSWORD in the environment")
    return value


def _variables(environ: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    """Our part of the environment; what is unknown in it is warned of, since Kubernetes makes some by itself."""
    known = [option.variable.removeprefix(PREFIX) for option in OPTIONS.values()]
    ours = {name: text for name, text in environ.items() if name.startswith(PREFIX) and text}
    for name, text in sorted(ours.items()):
        # For a Service "veetro-batch-metrics" Kubernetes sets VEETRO_BATCH_METRICS_PORT to such an address.
        if name.endswith("_PORT") and re.match("(?:tcp|udp|sctp)://", text):
            del ours[name]
            warnings.append(
                f"{name} is not used: Kubernetes made it for a Service (enableServiceLinks: false stops that)"
            )
        elif (rest := name.removeprefix(PREFIX)) not in known:
            del ours[name]
            near = closest(rest, known)
            hint = f"; did you mean {PREFIX}{near}?" if near else ""
            warnings.append(f"{name} is not used: there is no such option{hint}")
    return ours


def _take_file(gathered: Gathered, options: list[Option], path: str) -> None:
    keys = [
        option.name for option in OPTIONS.values() if not option.secret and option.name not in ("config", "default")
    ]
    for key, value in _read(path).items():
        name = f"{key} in {path}"
        if key == DEFAULTS:
            if not isinstance(value, dict):
                raise SettingsError(name, "is no table", "write [defaults] and below it FIELD = VALUE")
            if OPTIONS["default"] in options:
                filled = {entry: filler(entry, given, f"[{DEFAULTS}] in {path}") for entry, given in value.items()}
                gathered.take(OPTIONS["default"], filled, f"file {path}")
        elif key not in keys:
            raise SettingsError(name, *_not_a_key(key, [*keys, DEFAULTS]))
        elif OPTIONS[key] in options:
            gathered.take(
                OPTIONS[key], OPTIONS[key].kind.read(_as_text(OPTIONS[key], value, name), name), f"file {path}"
            )


def _read(path: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - only runs with a file pay for it

    try:
        with open(path, "rb") as file:  # noqa: PTH123 - nothing else here needs pathlib, which is slow to import
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError("--config", f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("--config", f"{path} is not TOML: {error}") from error


def _not_a_key(key: str, keys: list[str]) -> tuple[str, str]:
    """Problem and remedy."""
    if key in OPTIONS and OPTIONS[key].secret:
        return "secrets do not belong into this file", f"use {key}-file, or {OPTIONS[key].variable} in the environment"
    if key == "default":
        return "is the table [defaults] in this file", "write [defaults] and below it FIELD = VALUE"
    if key == "config":
        return "a file of settings cannot name another", ""
    near = closest(key, keys)
    return "there is no such option", f"did you mean {near}?" if near else ""


def _as_text(option: Option, value: object, name: str) -> str:
    """A TOML value as it would stand on the command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) and option.kind is SWITCH:
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and option.kind.number:
        return str(value)
    if option.name == "order-by" and isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ",".join(value) or "none"
    raise SettingsError(
        name, f"the value is not {option.kind.expects}", "" if option.kind.number else "write it in quotes"
    )


def closest(name: str, known: Collection[str]) -> str | None:
    """The one of *known* that *name* was probably meant to be."""
    import difflib  # noqa: PLC0415 - only what is wrong needs it

    found = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    if found:
        return found[0]
    begun = [candidate for candidate in known if len(name.strip("-")) > 1 and candidate.startswith(name)]
    return begun[0] if begun else None


def shown(gathered: Gathered) -> Iterator[str]:
    """Each setting and where it came from, as TOML that ``--config`` takes; what is masked there is a comment."""
    for option in OPTIONS.values():
        if option.name == "default" or option.attribute not in gathered.values:
            continue
        line = f"{option.name} = {_toml(_visible(option, gathered))}  # from {gathered.origins[option.name]}"
        yield f"# {line}" if option.secret or option.name == "config" or "***" in line else line
    filled = gathered.values.get("default")
    if filled:
        yield f"[{DEFAULTS}]"
    for name, value in (filled or {}).items():
        yield f"{_toml_key(name)} = {_toml(value)}  # from {gathered.origins[f'default.{name}']}"


def _visible(option: Option, gathered: Gathered) -> Any:
    value = gathered.values[option.attribute]
    if option.secret and value is not None:
        return "***"
    text = option.kind.show(value)
    if option.name == "ledger" and isinstance(value, str):
        return ledger_name(value, mask="***") if is_database(value) else value
    return masked(text) if option.name == "proxy" and isinstance(text, str) else text


def _toml_key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: str | float) -> str:
    """A TOML scalar; JSON's notation is TOML's too, DEL and what is no character apart."""
    if not isinstance(value, str):
        return json.dumps(value)
    printable = value.encode("utf-8", "backslashreplace").decode()
    return json.dumps(printable, ensure_ascii=False).replace("\x7f", "\\u007f")
