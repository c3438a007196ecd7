"""What the service must have received for a record, told the way the ASMX fixture tells it."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

FIELDS = {
    "ImportSyncRecordID": "int", "VeetroID": "int", "EntityID_Owner": "int", "VeetroType": "string",
    "VeetroIDStr": "string", "Source": "string", "SourceID": "string", "SyncIdentifier": "string",
    "SourceType": "string", "SourceName": "string", "ApplyAction": "int", "ApplyValues": "string",
    "RemoteTimeStamp": "dateTime", "Delete": "boolean", "CurrentStatusId": "int", "Retried": "int",
    "LocalTimeStamp": "dateTime", "ErrorMsg": "string", "DateLastModifiedRemoteUtc": "dateTime",
    "DateLastModifiedLocalUtc": "dateTime", "CurrentStatus": "enum",
}  # fmt: skip
"""The 21 fields and their types, in the operation's order."""

MOMENT = re.compile(r"(.{19})(?:\.(\d+))?(?:(Z)|([+-])(\d\d):(\d\d))?")


def as_received(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as `AsmxService.received` must tell it: an absent string is null, a dateTime its ticks and kind."""
    return {
        name: _instant(record[name]) if kind == "dateTime" else record.get(name) if kind == "string" else record[name]
        for name, kind in FIELDS.items()
    }


def _instant(text: str) -> dict[str, Any]:
    """Ticks of 100 ns since year 1, in UTC where there is a zone; further digits are rounded half to even."""
    found = MOMENT.fullmatch(text)
    assert found, text
    second, fraction, zulu, sign, hours, minutes = found.groups(default="")
    ticks = (datetime.fromisoformat(second) - datetime.min) // timedelta(seconds=1) * 10**7  # noqa: DTZ901 - no zones here
    ticks += _rounded(fraction.ljust(8, "0"))
    if sign:
        ahead = (int(hours) * 60 + int(minutes)) * 60 * 10**7
        ticks += ahead if sign == "-" else -ahead
    return {"ticks": ticks, "kind": "Utc" if zulu else "Local" if sign else "Unspecified"}


def _rounded(fraction: str) -> int:
    """The first seven of at least eight digits, by what follows them."""
    kept, rest, half = int(fraction[:7]), int(fraction[7:]), 5 * 10 ** (len(fraction) - 8)
    return kept + (rest > half or (rest == half and kept % 2))
