from __future__ import annotations

import pytest

from tests.postgresql.server import Server


@pytest.fixture
def ledger(postgresql: Server) -> str:
    """A place where a ledger can be made: in a database."""
    return postgresql.new_ledger()
