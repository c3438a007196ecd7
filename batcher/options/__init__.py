"""What an option is; the kinds of values that options have are in ``kinds`` and ``texts``.

An option never reads a source: who found its text says where it stood, so that an error names what the reader has to
change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batcher.options.kinds import Kind


@dataclass(frozen=True, slots=True)
class Option:
    """One option: declared once, and read by the parser of arguments, environment and TOML, the help and the README.

    Attributes:
        name: as on the command line, without the dashes.
        metavar: what stands for its value.
        kind: how its value is written.
        default: its value where nothing gives one.
        group: the heading under which help lists it.
        help: one line that goes on after the name.
        default_text: what help shows as the default, where the value's own text tells too little or too much.
        short: one letter that says the same on the command line, where there is one.
        secret: given by environment alone, never as an argument or in a file that is no secret itself.
    """

    name: str
    metavar: str
    kind: Kind[Any]
    default: Any
    group: str
    help: str
    default_text: str = ""
    secret: bool = False
    short: str = ""

    @property
    def attribute(self) -> str:
        """Its name in ``Settings``."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"VEETRO_BATCH_{self.attribute.upper()}"

    @property
    def public_name(self) -> str:
        """What errors and the README call it: the flag, or the variable of what no flag may hold."""
        return self.variable if self.secret else self.flag

    @property
    def shown_default(self) -> str:
        """The default, for people."""
        return self.default_text or str(self.kind.show(self.default))
