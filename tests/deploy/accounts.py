"""Holds what the service has applied against what the ledgers say: the promises, in numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.program import Program, read_lines


@dataclass(frozen=True)
class Account:
    """What became of the records.

    Attributes:
        outcomes: how many records ended in which way.
        applied: how many records the service has applied at all.
        repeated: how many it has applied more than once.
        in_doubt: of each ledger the records in doubt: lines, and their keys.
    """

    outcomes: dict[str, int]
    applied: int
    repeated: int
    in_doubt: dict[str, dict[int, str]]


def account(program: Program, ledgers: Iterable[str], given: bytes, applied: Mapping[str, int]) -> Account:
    """The account, in which every promise is kept; all records of *given* differ in their SourceID.

    Each has exactly one result in one ledger. A delivered one was applied, and not more often than it was attempted; so
    was one in doubt, or not at all. One that is not safe to send twice was never applied twice.
    """
    records = [json.loads(line) for line in given.splitlines()]
    results = {ledger: read_lines(program.run("results", ledger).out) for ledger in ledgers}
    by_key = {result["key"]: result for found in results.values() for result in found}
    told = Counter(result["key"] for found in results.values() for result in found)
    assert told == Counter(record["SourceID"] for record in records)
    assert [record["SourceID"] for record in records if not _is_kept(record, by_key[record["SourceID"]], applied)] == []
    return Account(
        outcomes=dict(Counter(result["outcome"] for result in by_key.values())),
        applied=len(applied),
        repeated=sum(times > 1 for times in applied.values()),
        in_doubt={
            ledger: {result["line"]: result["key"] for result in found if result["outcome"] == "in_doubt"}
            for ledger, found in results.items()
        },
    )


def _is_kept(record: Mapping[str, Any], result: Mapping[str, Any], applied: Mapping[str, int]) -> bool:
    times = applied.get(record["SourceID"], 0)
    least = 1 if result["outcome"] == "delivered" else 0
    most = result["attempts"] if record["ImportSyncRecordID"] else 1
    return result["outcome"] in ("delivered", "in_doubt") and least <= times <= most
