"""Write the 1,000 records of ``records.ndjson``: ``python tests/data/make_records.py > tests/data/records.ndjson``.

Every record is valid; between them they hold what may go wrong on the way to the service. The same output every time.
"""

import json
import random
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle, islice

COUNT = 1000
INTS = ("VeetroID", "EntityID_Owner", "ApplyAction", "CurrentStatusId", "Retried")
STRINGS = (
    "VeetroType", "VeetroIDStr", "Source", "SyncIdentifier", "SourceType", "SourceName", "ApplyValues", "ErrorMsg",
)  # fmt: skip
DATES = ("RemoteTimeStamp", "LocalTimeStamp", "DateLastModifiedRemoteUtc", "DateLastModifiedLocalUtc")
STATUSES = ("NA", "InProgress", "Completed")
EDGES = (0, 1, -1, 7, 255, 256, 65536, 2147483646, 2147483647, -2147483647, -2147483648)

# Every character at which a range of XML 1.0's Char production begins or ends, and some that readers are known to drop.
CHARACTERS = (
    "\t", "\n", "\r", " ", "~", "\x7f", "\x80", "\x84", "\x85", "\x86", "\x9f", "\xa0", "\xad", "\u0300", "\u034f",
    "\u061c", "\u180e", "\u2000", "\u200b", "\u200d", "\u200e", "\u202e", "\u2028", "\u2029", "\u2060", "\u3000",
    "\ud7ff", "\ue000", "\uf8ff", "\ufdd0", "\ufeff", "\ufff9", "\ufffc", "\ufffd", "\U00010000", "\U0001f600",
    "\U0001fffe", "\U0002fa1d", "\U000e0001", "\U000f0000", "\U0010fffd", "\U0010fffe", "\U0010ffff",
)  # fmt: skip
BLANK = (
    "", " ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\r", "\r\r", "\r\n", "\n\r", "\r\n\r\n", " \t", " \n", "\n ",
    " \r", "\r ", "\t\r\n ", " \t\n\r ", " " * 300, "\n" * 50, "\r" * 50,
)  # fmt: skip
EDGED = tuple(
    text.replace("{}", "x")
    for text in (
        " {}", "{} ", "  {}  ", "\t{}", "{}\t", "\n{}", "{}\n", "\n\n{}\n\n", "\r{}", "{}\r", "\r\n{}", "{}\r\n",
        "{}\r\n\r\n{}", "{}\n\r{}", "{}\r{}", "{}\n{}", "{}\t{}", "{}   {}", " \r\n\t{} \r\n\t",
    )
)  # fmt: skip
MARKUP = (
    "&", "<", ">", '"', "'", "&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#65;", "&#x41;", "&#0;", "&#xD;",
    "&#xFFFF;", "&nbsp;", "&&", "& ", "&;", "]]>", "]]&gt;", "]]", "]>", "<![CDATA[", "<![CDATA[x]]>", "<!-- -->",
    "<!--", "-->", "--", "<?xml version='1.0'?>", "<?p x?>", "?>", "<!DOCTYPE x [<!ENTITY e 'x'>]>", "&e;",
    "<b>bold</b>", "<b/>",
    "</Record>", "</SourceID>", "<SourceID>S</SourceID>", 'xsi:nil="true"', "{0}", "{}", "%s", "%25", "+", "string",
    "int or string", "NA or InProgress or Completed", "a < b && c > d", "\\", "\\n", "\\u0000", "\\\\", '\\"', "/",
    "//", "null", "None", "NaN", "true", "0", "-0", "1e3", "0001-01-01T00:00:00", "'; DROP TABLE x; --", "=1+1",
    "\u0430\u0251",
)  # fmt: skip
TEXTS = (
    "Gr\u00fc\u00dfe aus K\u00f6ln", "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1", "\u041c\u043e\u0441\u043a\u0432\u0430",
    "\u4e2d\u6587\u5b57\u7b26", "\u65e5\u672c\u8a9e\u3001\u304b\u306a", "\ud55c\uad6d\uc5b4", "\u0e44\u0e17\u0e22",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u202babc\u202c",
    "e\u0301 \u00e9 n\u0303 \u00f1 A\u030a \u212b", "\u0915\u094d\u0937", "Z\u0351\u036b\u0343a\u0363l\u0367g\u0348o",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd",
    "\u2764\ufe0f", "\U0001d4d0\U0001d4d1", "\U00012000\U00013000", "\u00df\u1e9e\u0130\u0131\u017f\ufb01",
    "\u03a9\u2126", "\u00bd\u2460\u216b", "\u201equotes\u201c \u2018x\u2019", "\u2026\u2013\u2014\u2022\u20ac\u2122",
    "\x81\x8d\x8f\x90\x9d", "\u00e3\u00a4\u00c3\u00a4", "x" * 5000, "\u00e4" * 3000, "\U0001f600" * 1000,
    "line one\nline two\r\nline three\rend\n", "tab\tseparated\tvalues", "C:\\Users\\x\\Outlook.pst",
    "ann@example.org; bob@example.org", "https://example.org/?a=1&b=<2>#x", "0000000012AB34CD" * 8,
)  # fmt: skip
SPECIAL = (
    *BLANK,
    *EDGED,
    *CHARACTERS,
    *(f"a{character}b" for character in CHARACTERS),
    *(f"{character}a{character}" for character in CHARACTERS),
    *MARKUP,
    *(f" a{markup}b\n" for markup in MARKUP),
    *TEXTS,
)
LONG = ("Long text: \u00e4\u00f6\u00fc, <&>, \U0001f600, \r\n\t" * 5000)[:100_000]

ZONES = ("", "Z", "+05:30", "-08:00")
DAYS = (
    "0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "0001-12-31T23:59:59.9999999", "9999-12-31T23:59:59.9999999",
    "9999-12-31T23:59:59.9999999Z", "9999-12-31T00:00:00", "1582-10-10T00:00:00", "1752-12-31T23:59:59Z",
    "1753-01-01T00:00:00", "1899-12-30T00:00:00Z", "1900-02-28T23:59:59", "1969-12-31T23:59:59.9999999Z",
    "1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999", "2000-02-29T12:00:00", "2000-02-29T12:00:00Z",
    "2000-02-29T12:00:00+01:00", "2004-02-29T23:59:59.9999999-11:00", "2024-02-29T00:00:00+14:00",
    "2024-02-29T00:00:00-14:00",
    "2024-12-31T23:59:59+00:00", "2024-12-31T23:59:59-00:00", "2024-12-31T23:59:59-00:01", "2024-03-31T02:30:00",
    "2024-03-31T02:30:00+01:00", "2024-10-27T02:30:00+02:00", "2024-10-27T02:30:00+01:00", "2038-01-19T03:14:08Z",
    "2079-06-06T23:59:59", "2024-06-15T23:59:59.9999999", "2024-06-15T23:59:59.99999994Z",
    "2024-06-15T23:59:59.99999995Z",
    "2024-06-15T23:59:59.99999999+05:45", "2024-06-15T12:30:15.12345665Z", "2024-06-15T12:30:15.12345675Z",
    "2024-06-15T12:30:15.123456650000001Z", "2024-06-15T12:30:15.000000049Z", "2024-06-15T12:30:15.00000005Z",
    "2024-06-15T12:30:15.000000050000000000000000000001Z", "2024-06-15T12:30:15.1000000000000Z",
    *(f"2024-06-15T12:30:15.{'1234567'[:digits]}{zone}" for digits in range(1, 8) for zone in ZONES),
    *(f"2024-06-15T12:30:15.{'0' * (digits - 1)}1Z" for digits in range(1, 8)),
    *(f"2024-{month:02}-01T{month:02}:00:00{sign}{month:02}:30" for month in range(1, 13) for sign in "+-"),
)  # fmt: skip


def _moment(rng: random.Random) -> str:
    """Any dateTime of the service's grammar from year 2 to 9998, so that no offset leaves the calendar."""
    second = datetime(2, 1, 1) + timedelta(seconds=rng.randrange(9990 * 365 * 86400))  # noqa: DTZ001 - zones are text here
    digits = rng.choice((0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 12))
    fraction = "." + "".join(rng.choices("0123456789", k=digits)) if digits else ""
    offset = f"{rng.choice('+-')}{rng.randrange(14):02}:{rng.choice((0, 0, 15, 30, 45, 59)):02}"
    return second.isoformat() + fraction + rng.choice(("", "Z", "Z", offset, offset))


def _integer(rng: random.Random) -> int:
    return rng.choice((rng.choice(EDGES), rng.randrange(1000), rng.randrange(-(2**31), 2**31)))


def _text(rng: random.Random) -> str:
    """A few pieces in a row, so that every special text meets every other somewhere."""
    return "".join(rng.choice(SPECIAL) for _ in range(rng.choice((1, 1, 2, 3))))[:2000]


def records() -> Iterator[dict[str, object]]:
    """Each record, its fields in the order in which they are written; a string that is not here is absent."""
    rng = random.Random(20240615)
    specials, fields, moments = cycle(SPECIAL), cycle(STRINGS), cycle(DAYS)
    for number in range(1, COUNT + 1):
        known = number % 3 == 0
        record: dict[str, object] = {
            "ImportSyncRecordID": rng.choice((1, 77, -1, 2147483647, -2147483648, number)) if known else 0
        }
        record |= {name: EDGES[(number + place) % len(EDGES)] for place, name in enumerate(INTS)}
        if number % 2:
            record |= {name: _integer(rng) for name in INTS}
        # Absent and null mean the same to the service, "" does not.
        record |= {name: rng.choice((None, "", _text(rng))) for name in STRINGS if rng.random() < 0.7}
        record |= {name: next(specials) for name in islice(fields, 3)}
        record["SourceID"] = f"R-{number:04}" + (next(specials)[:100] if number % 10 == 0 else "")
        record |= {name: next(moments) if number % 2 else _moment(rng) for name in DATES}
        record["Delete"] = rng.random() < 0.5
        record["CurrentStatus"] = STATUSES[number % 3]
        if number == COUNT // 2:
            record["ApplyValues"] = LONG
        order = rng.sample(list(record), len(record)) if number % 4 else list(record)
        yield {name: record[name] for name in order}


def line(number: int, record: dict[str, object]) -> str:
    """The record as JSON, in one of five ways to write the same."""
    match number % 5:
        case 0:
            return json.dumps(record, ensure_ascii=True)
        case 1:
            return json.dumps(record, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
        case 2:
            return json.dumps(record, ensure_ascii=False, separators=(" , ", "\t:  ")) + " "
        case 3:
            return json.dumps(record, ensure_ascii=False, separators=(",", ":")).replace(
                '"Retried":0,', '"Retried":-0,'
            )
        case _:
            return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def main() -> None:
    """Print all lines, in UTF-8, each ended by LF."""
    for number, record in enumerate(records(), 1):
        sys.stdout.buffer.write(line(number, record).encode() + b"\n")


if __name__ == "__main__":
    main()
