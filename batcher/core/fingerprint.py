"""What the texts of others are made into before they are shown: one safe line, and a name for texts that say the same.

A fault's text can be a whole stack trace with line breaks, and nearly every one differs from the next by a number, an
id or a quoted value.
"""

from __future__ import annotations

import re

FINGERPRINT_LIMIT = 160
"""Characters of a fingerprint at most."""

_READ_LIMIT = 1000
"""Characters of a line that a fingerprint looks at: bounds what the patterns cost, and is far beyond what it keeps."""

# C0 and C1 controls, line and paragraph separators, the marks that reverse writing, and halves of surrogate pairs
# (they cannot be written as UTF-8); with the white space around them.
_UNSAFE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_SPACE_LIMIT = 8
"""Times the limit that ``one_line`` reads of a text: room for white space that it folds."""

# .NET prints "   at Namespace.Type.Method(Arguments) in file:line 12" under the message; one_line joins the lines.
_STACK = re.compile(r"\s(?:at [\w.`<>\[\]+,]+\(|--- End of inner exception)")
# An apostrophe within a word is no quote. A text that was cut may end within a quoted value.
_QUOTED = re.compile(
    r"""(?<!\w) (?:
        ' .*? (?: '(?!\w) | …$ )
      | " .*? (?: " | …$ )
      | \u2018 .*? (?: \u2019(?!\w) | …$ )
      | [\u201c\u201e«] .*? (?: [\u201c\u201d»] | …$ )
    )""",
    re.VERBOSE,
)
_VALUE = re.compile(
    r"""
    [0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}         # GUID
    | 0x[0-9a-f]+
    | \b (?=[a-f]*\d) [0-9a-f]{8,} \b                   # hexadecimal id
    | [-+]? \d+ (?:[.,:/T-]\d+)* Z?                     # number, date, time, line and column
    """,
    re.VERBOSE | re.IGNORECASE,
)


_ADDRESS = re.compile(r"(s3://|gs://|az://|https?://|postgres(?:ql)?://)(?:[^/?#]*@)?", re.IGNORECASE)


def display_name(path: str) -> str:
    """The *path* of a file as text that can be written as UTF-8, whatever bytes its name has."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def input_name(path: str) -> str:
    """The name of an input: of a file its path, of an object its address without what lets one read it.

    That is what stands before the server's name, and on the web all behind the path: a signature may be in it.
    """
    found = _ADDRESS.match(path)
    if found is None:
        return display_name(path)
    address = path[: found.end(1)] + path[found.end() :]
    return display_name(re.split("[?#]", address)[0] if found[1].lower().startswith(("http", "postgres")) else address)


def one_line(text: str, limit: int = 500) -> str:
    """*text* as one line of at most *limit* characters, safe for terminals, logs and files.

    Line breaks, control characters and runs of white space become one space; what is cut off is told by ``…``.
    """
    window = limit * _SPACE_LIMIT
    line = _UNSAFE.sub(" ", text[:window]).strip()
    if len(line) <= limit and len(text) <= window:
        return line
    return line[: limit - 1].rstrip() + "…"


def fingerprint(text: str) -> str:
    """The same short text for all texts that differ only in values, so that they can be counted together.

    Of the first line without its stack trace: ``#`` for each number, date, GUID and hexadecimal id, ``'#'`` for each
    quoted value, white space folded, at most ``FINGERPRINT_LIMIT`` characters.
    """
    first = next(iter(text[: _READ_LIMIT * _SPACE_LIMIT].strip().splitlines()), "")
    line = one_line(first, _READ_LIMIT)
    stack = _STACK.search(line)
    if stack:
        line = line[: stack.start()]
    return _VALUE.sub("#", _QUOTED.sub("'#'", line))[:FINGERPRINT_LIMIT].rstrip()
