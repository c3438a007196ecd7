"""Realistic records as NDJSON, for a demonstration, for benchmarks and for tests."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import orjson

__all__ = ["sample_records"]

_EPOCH: Final = datetime(2021, 1, 4, 8, 0, tzinfo=UTC)
_SPAN_SECONDS: Final = 4 * 365 * 86_400
_CREATED_SHARE: Final = 0.08
_SAME_SOURCE_SHARE: Final = 0.01
_SOURCES_AGAIN: Final = 100
"""A SourceID that comes again is one of the last so many."""
_DELETED_SHARE: Final = 0.02
_WITH_ERROR_SHARE: Final = 0.03
_FIRST: Final = (
    "Anna", "José", "Zoë", "Łukasz", "Søren", "Ngọc", "Müller", "Ольга", "美咲", "عمر", "Grace", "Ada", "Renée", "Seán",
)  # fmt: skip
_LAST: Final = (
    "O'Brien", "Nuñez", "Smith & Sons", "Åberg", "Kovács", "van der Berg", "Иванова", "佐藤",
    "D\N{RIGHT SINGLE QUOTATION MARK}Angelo", "Schmidt-Weiß",
)  # fmt: skip
_SUBJECTS: Final = (
    "Quarterly review", "Angebot für Küche", "Call back <urgent>", "Déjeuner d'équipe", "Invoice #{}", "契約の更新 {}",
    "Site visit \N{EM DASH} block {}", "Follow-up \N{PARTY POPPER}", 'Re: "final" draft & notes', "Standup",
)  # fmt: skip
_TYPES: Final = ("Contact", "Appointment", "Task", "Email")
_STATUSES: Final = ("NA", "InProgress", "Completed")


def sample_records(count: int, seed: int = 0, bad_share: float = 0.002) -> Iterator[bytes]:
    """*count* lines with their LF, the same for the same *seed*; about *bad_share* of them are bad in different ways.

    The fields stand in the order of the service's help page. Most lines update (a non-zero ImportSyncRecordID), some
    create; SourceIDs are unique but for a few that come again. A good line is valid by the service's rules.
    """
    # Not for secrets: the same seed must give the same lines.
    random = Random(seed)  # noqa: S311 - made-up data
    source_ids: deque[str] = deque(maxlen=_SOURCES_AGAIN)
    for number in range(1, count + 1):
        if source_ids and random.random() < _SAME_SOURCE_SHARE:
            source_id = random.choice(source_ids)
        else:
            source_id = f"AAMkAD{random.getrandbits(48):012X}-{number}"
            source_ids.append(source_id)
        record = _record(random, number, source_id)
        if random.random() < bad_share:
            yield random.choice(_SPOILERS)(record)
        else:
            yield orjson.dumps(record) + b"\n"


def _record(random: Random, number: int, source_id: str) -> dict[str, Any]:
    kind = random.choice(_TYPES)
    status = random.randrange(len(_STATUSES))
    veetro_id = random.randrange(1, 2_000_000)
    modified = _EPOCH + timedelta(seconds=random.randrange(_SPAN_SECONDS), milliseconds=random.randrange(1000))
    synced = modified + timedelta(seconds=random.randrange(1, 7200))
    failed = random.random() < _WITH_ERROR_SHARE
    who = f"{random.choice(_FIRST)} {random.choice(_LAST)}"
    return {
        "ImportSyncRecordID": 0 if random.random() < _CREATED_SHARE else 100_000 + number,
        "VeetroID": veetro_id,
        "EntityID_Owner": random.randrange(1, 400),
        "VeetroType": kind,
        "VeetroIDStr": str(veetro_id),
        "Source": "Outlook",
        "SourceID": source_id,
        "SyncIdentifier": f"outlook-plugin-{random.randrange(40):02}",
        "SourceType": f"IPM.{kind}",
        "SourceName": f"{who}: {random.choice(_SUBJECTS).format(number)}",
        "ApplyAction": random.randrange(4),
        "ApplyValues": random.choice(("", "Subject;Body", "Email=a@example.com\nPhone=+44 20 7946 0000", '<x a="1"/>')),
        "RemoteTimeStamp": _moment(modified),
        "Delete": random.random() < _DELETED_SHARE,
        "CurrentStatusId": status,
        "Retried": random.randrange(3) if failed else 0,
        "LocalTimeStamp": _moment(synced),
        "ErrorMsg": "The item was changed on both sides.\r\nThe local copy was kept." if failed else None,
        "DateLastModifiedRemoteUtc": _moment(modified),
        "DateLastModifiedLocalUtc": _moment(synced),
        "CurrentStatus": _STATUSES[status],
    }


def _moment(moment: datetime) -> str:
    """With milliseconds where there are any, always with Z."""
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def _misspelt(record: dict[str, Any]) -> bytes:
    return orjson.dumps({("SourceId" if name == "SourceID" else name): value for name, value in record.items()}) + b"\n"


def _bad_date(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record | {"RemoteTimeStamp": "2023-02-29T12:00:00Z"}) + b"\n"


def _missing(record: dict[str, Any]) -> bytes:
    return orjson.dumps({name: value for name, value in record.items() if name != "VeetroID"}) + b"\n"


def _text_for_int(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record | {"VeetroID": "n/a"}) + b"\n"


def _broken_json(record: dict[str, Any]) -> bytes:
    line = orjson.dumps(record)
    return line[: len(line) // 2] + b"\n"


def _enum_case(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record | {"CurrentStatus": "completed"}) + b"\n"


_SPOILERS: Final[tuple[Callable[[dict[str, Any]], bytes], ...]] = (
    _misspelt,
    _bad_date,
    _missing,
    _text_for_int,
    _broken_json,
    _enum_case,
)
