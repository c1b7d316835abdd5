"""A job's last write: its record, what it is charged, and how long it is kept."""

from __future__ import annotations

from typing import Literal

from budgets import levels_of
from budgets.levels import Payer
from ledger import jobs
from ledger.errors import ApexError, JobCancelled, JobDead, JobExpired
from ledger.messages import Result, State
from ledger.redis_client import Ledger
from ledger.sessions import NewTurn
from ledger.settings import Settings
from workers.persist import persist

ENDS: dict[type[ApexError], State] = {
    JobCancelled: State.CANCELLED,
    JobDead: State.DEAD,
    JobExpired: State.EXPIRED,
}


def ended_by(error: ApexError) -> tuple[State, Literal["cancelled", "error"]]:
    """The state in which a job ends with ``error``, and its finish reason."""
    state = ENDS.get(type(error), State.FAILED)
    return state, "cancelled" if state is State.CANCELLED else "error"


def close_job(
    ledger: Ledger,
    settings: Settings,
    result: Result,
    payer: Payer,
    *,
    fence: int,
    model: str,
    turn: NewTurn | None = None,
    answer: str | None = None,
) -> bool:
    """Ends a running job with ``result``, as :func:`ledger.jobs.finish`; False if fenced off.

    ``payer``: whose tokens it spent, at all its levels, as usage of ``model``.
    """
    call = jobs.finish(
        result,
        fence=fence,
        levels=levels_of(payer, settings),
        model=model,
        retention_ms=retention_ms(result.state, settings),
        usage_ms=int(settings.usage_retention_s * 1000),
        turn=turn,
        answer=answer,
    )
    return persist(ledger, call)


def retention_ms(state: State, settings: Settings) -> int:
    """How long a job that ends so is kept."""
    kept_s = settings.dead_retention_s if state is State.DEAD else settings.retention_s
    return int(kept_s * 1000)
