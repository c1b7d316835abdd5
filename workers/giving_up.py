"""How a job is given up whose last attempt has failed."""

from __future__ import annotations

import logging

from ledger import dead, stream
from ledger.errors import CorruptEntry, JobDead
from ledger.messages import Event, State
from ledger.redis_client import Ledger
from ledger.settings import Settings
from workers.closing import retention_ms
from workers.persist import persist, until_back

log = logging.getLogger(__name__)


def give_up(ledger: Ledger, settings: Settings, job_id: str, instance: str, reason: str) -> JobDead:
    """Notes that a job is dead, for its last attempt just failed on ``instance``.

    Returns the error that its record is to have: why, and what became of each attempt.
    """
    noted_ms = persist(ledger, dead.note_dead(job_id, keep_ms=retention_ms(State.DEAD, settings)))
    return dead.given_up(
        job_id, events_of(ledger, job_id), instance=instance, reason=reason, now_ms=noted_ms
    )


def events_of(ledger: Ledger, job_id: str) -> list[Event]:
    """The events of a job that comes to its end; none if its stream is damaged."""
    try:
        return until_back(lambda: list(stream.replay(ledger, job_id)))
    except CorruptEntry as error:
        log.error("%s", error)
        return []
