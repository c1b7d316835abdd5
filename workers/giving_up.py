"""How a job is given up whose last attempt has failed."""

from __future__ import annotations

from collections.abc import Iterable

from ledger import dead
from ledger.errors import JobDead
from ledger.messages import Event, State
from ledger.redis_client import Ledger
from ledger.settings import Settings
from workers.persist import persist


def give_up(
    ledger: Ledger,
    settings: Settings,
    job_id: str,
    events: Iterable[Event],
    *,
    instance: str,
    reason: str,
    now_ms: int,
) -> JobDead:
    """Notes that the job is dead, and returns the error that its record is to have."""
    persist(ledger, dead.note_dead(job_id, keep_ms=retention_ms(State.DEAD, settings)))
    return dead.given_up(job_id, events, instance=instance, reason=reason, now_ms=now_ms)


def retention_ms(state: State, settings: Settings) -> int:
    """How long a job that ends so is kept."""
    kept_s = settings.dead_retention_s if state is State.DEAD else settings.retention_s
    return int(kept_s * 1000)
