from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from batcher.build import Parts
from batcher.core.events import Event
from batcher.settings import Settings


class Deaf:
    def notice(self, event: Event, /) -> None:
        pass


@pytest.mark.parametrize(("found", "begins"), [(None, 2), (40, 20), (1, 1)])
async def test_a_resumed_run_begins_at_half_of_the_limit_that_the_ledger_holds(
    tmp_path: Path, found: int | None, begins: int
) -> None:
    """Nothing need be found out twice, but the service may have changed."""
    path = str(tmp_path / "ledger")
    settings = Settings(endpoint="http://127.0.0.1:9/xml", ledger=path)
    limit = 0
    for _ in range(2):
        parts = Parts(settings, Deaf())
        kept = parts.keep_ledger(path, {})
        limit = parts._service.limit.value
        kept.close()
        await parts.transport.close()
        if found is not None:
            with contextlib.closing(sqlite3.connect(path)) as db, db:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('limit', ?)", (found,))
    assert limit == begins
