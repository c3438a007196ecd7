"""A line of a rejects file, read back: the record that it carries, and what had come of it."""

from __future__ import annotations

import binascii
import json
import re
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from batcher.core.result import Origin

# What stands before the record in our own lines: numbers, strings, and objects and arrays of these with other names. In
# a string a quote is written with a backslash before it, so this is the member's name and nothing else.
_RECORD = re.compile(rb'(?<!\\)"record"\s*:\s*')
_DECODER = json.JSONDecoder()


class Reject(NamedTuple):
    """What a rejects line says.

    Attributes:
        origin: what had come of the record.
        raw: its line's own bytes; where *truncated*, only the first 64 KiB or so of them.
        truncated: the record was longer, and is not whole.
        hash: of the whole line, as the rejects line tells it.
        key: the order key, as JSON.
    """

    origin: Origin
    raw: bytes
    truncated: bool
    hash: str
    key: bytes

    @property
    def is_original(self) -> bool:
        """Whether the record is byte by byte the one that the hash was made of."""
        return digest(self.raw) == self.hash


def digest(raw: bytes) -> str:
    """The hash of a line, as result lines show it."""
    return blake2b(raw, digest_size=8).hexdigest()


def read_reject(line: bytes) -> Reject:
    """What *line*, given without its line end, says.

    Raises:
        ValueError: it is no line of a rejects file.
    """
    try:
        members = orjson.loads(line)
        origin = Origin.of(members)
        name, raw = _carried(line, members)
        return Reject(
            origin=origin,
            raw=raw,
            truncated=bool(members.get("truncated")) and name != "record",
            hash=str(members["hash"]),
            key=orjson.dumps(members.get("key")),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError("no line of a rejects file") from error


def _carried(line: bytes, members: dict[str, Any]) -> tuple[str, bytes]:
    """The name of the member that holds the record, and the record's bytes."""
    if "raw" in members:
        return "raw", members["raw"].encode()
    if "raw_base64" in members:
        return "raw_base64", binascii.a2b_base64(members["raw_base64"], strict_mode=True)
    found = _RECORD.search(line)
    if found is None:
        raise KeyError
    ours = line[found.end() : -1]
    if digest(ours) == members["hash"]:
        return "record", ours
    # It was corrected by hand, or another program has written the line anew: it is taken as it stands there.
    text = line[found.end() :].decode()
    _, end = _DECODER.raw_decode(text)
    return "record", text[:end].encode()
