"""The ledger itself, for tests that look behind the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.redis_client import Ledger


@pytest.fixture
def ledger(redis_url: str) -> Iterator[Ledger]:
    """The ledger on the emptied server."""
    ledger = Ledger(redis_url)
    yield ledger
    ledger.close()
