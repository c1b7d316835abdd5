"""What the elected reconciler does, once and now."""

from __future__ import annotations

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from workers.reconciler import Reconciler


def tick(ledger: Ledger, settings: Settings) -> None:
    owner = ledger.redis.hget(keys.RECONCILER, "owner") or "tests"
    assert Reconciler(ledger, str(owner), settings).tick()
