"""Records to send: the 21 fields, each record with a SourceID of its own."""

from __future__ import annotations

import orjson

FIELDS = {
    "ImportSyncRecordID": 981, "VeetroID": 5501, "EntityID_Owner": 12, "VeetroType": "Contact", "VeetroIDStr": "C-5501",
    "Source": "Outlook", "SourceID": "S-1", "SyncIdentifier": "desk-7", "SourceType": "ContactItem",
    "SourceName": "Contacts", "ApplyAction": 1, "ApplyValues": "Email;Phone;Address",
    "RemoteTimeStamp": "2024-05-31T09:30:00Z", "Delete": False, "CurrentStatusId": 2, "Retried": 0,
    "LocalTimeStamp": "2024-05-31T09:30:01Z", "ErrorMsg": "", "DateLastModifiedRemoteUtc": "2024-05-31T09:29:00Z",
    "DateLastModifiedLocalUtc": "2024-05-31T09:28:00Z", "CurrentStatus": "Completed",
}  # fmt: skip
"""What every record holds, in the order of the operation's sample."""
BROKEN_EVERY = 997
"""Every so many lines are no record, but broken."""


def line(number: int, key: int | None = None) -> bytes:
    """The record *number*, from 1, as a line: odd ones are new (id 0), even ones are not; `SourceID` is S-*key*."""
    if not number % BROKEN_EVERY:
        return b'{"broken": true}\n'
    source = f"S-{number if key is None else key}"
    changed = {"ImportSyncRecordID": 0 if number % 2 else number, "SourceID": source}
    return orjson.dumps(FIELDS | changed) + b"\n"
