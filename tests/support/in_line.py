"""Jobs that wait in the line of inst0."""

from __future__ import annotations

from ledger import keys
from ledger.redis_client import Ledger
from tests.support.hands import LISTS
from tests.support.waiting import eventually


def hello(agent_id: str, **changes: str) -> dict[str, str | int]:
    """A request that is answered at once."""
    return {"prompt": "hello", "agent_id": agent_id, "max_tokens": 64, **changes}


def lengths(ledger: Ledger) -> list[int]:
    """How many wake-ups each of Celery's lists holds."""
    return [ledger.redis.llen(name) for name in LISTS]


def run_dry(ledger: Ledger) -> None:
    """Nobody waits any more; returns when the job that runs has ended."""
    ledger.redis.delete(keys.waiting("inst0"), *LISTS)
    eventually(lambda: not ledger.redis.zcard(keys.running("inst0")))
