"""An instance that has registered and has no worker: its jobs wait."""

from __future__ import annotations

from ledger import instances
from ledger.instances import Descriptor
from ledger.redis_client import Ledger

OWNER = "tests"
WAKEUP = '{"id": "@@ID@@", "tag": "@@TAG@@", "priority": "@@PRIORITY@@"}'


def register(
    ledger: Ledger,
    name: str = "inst0",
    *,
    slots: int = 1,
    wakeup: str = WAKEUP,
    model: str = "mock",
) -> None:
    """Enters the instance in the registry, as its worker does before it loads its model."""
    ledger.run(
        instances.register(
            Descriptor(name=name, backend="mock", model=model, slots=slots),
            owner=OWNER,
            node=f"{name}@nowhere",
            pid=1,
            wakeup=wakeup,
            grace_ms=0,
        )
    )
