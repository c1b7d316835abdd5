"""A sender, and a ledger whose answers the test gives."""

from __future__ import annotations

import pytest

from tests.support.sending import Asked, Bench
from workers import persist


@pytest.fixture
def ledger() -> Asked:
    return Asked()


@pytest.fixture
def bench(ledger: Asked) -> Bench:
    return Bench(ledger)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persist, "RETRY_S", 0.001)
