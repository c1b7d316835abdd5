"""Bringing jobs to their end."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ledger import keys
from ledger.errors import JobNotFound
from ledger.jobs.meta import celery_meta
from ledger.levels import Level
from ledger.messages import Event, Result, State
from ledger.scripts import Call
from ledger.sessions import NewTurn
from ledger.windows import DAY_MS

RETENTION_MS = DAY_MS
USAGE_MS = 400 * DAY_MS


def finish(
    result: Result,
    *,
    fence: int,
    levels: Sequence[Level],
    model: str = "",
    retention_ms: int = RETENTION_MS,
    usage_ms: int = USAGE_MS,
    turn: NewTurn | None = None,
    answer: str | None = None,
) -> Call[bool]:
    """Ends a running job with ``result``; ``turn`` is added to its session in the same step.

    ``answer``: JSON of an event that has all of it, for readers, where another job has made it;
    empty: there is nothing to read. Such a job adds no turn, and says nothing of how long jobs run.

    Its tokens are charged, and noted as usage of ``model`` for ``usage_ms``. Reads as False when
    the fence is no longer the job's.
    """
    job_id, instance = result.job_id, result.instance
    return Call(
        "finish",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.stream(job_id),
            keys.result(job_id),
            keys.running(instance),
            keys.entry(instance),
            keys.USAGE,
            keys.TENANTS,
            *(level.key for level in levels),
            *((turn.session_key,) if turn else ()),
        ],
        [
            job_id,
            fence,
            result.state,
            result.model_dump_json(),
            Event(kind="end", attempt=fence, state=result.state).body(),
            keys.celery_meta(job_id),
            json.dumps(celery_meta(result)),
            retention_ms,
            0 if result.cached else result.usage.prompt_tokens,
            model,
            usage_ms,
            *(turn.args if turn else () if answer is None else (answer,)),
        ],
        lambda reply: reply == "finished",
    )


def cancel(
    result: Result,
    *,
    levels: Sequence[Level],
    retention_ms: int = RETENTION_MS,
    usage_ms: int = USAGE_MS,
) -> Call[str]:
    """Cancels a waiting job with ``result`` as its record, or tells a running one to stop.

    Reads as ``cancelled``, ``stopping``, ``moved``, or the terminal state that it already had.

    Raises (when read):
        JobNotFound
    """
    job_id, instance = result.job_id, result.instance

    def read(reply: str) -> str:
        if reply == "gone":
            raise JobNotFound(job_id=job_id)
        return reply

    return Call(
        "cancel",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.stream(job_id),
            keys.result(job_id),
            keys.waiting(instance),
            keys.woken(instance),
            keys.USAGE,
            keys.TENANTS,
            keys.INSTANCES,
            keys.DELAYED,
            keys.EXPIRING,
            keys.parked(instance),
            *(level.key for level in levels),
        ],
        [
            job_id,
            instance,
            result.model_dump_json(),
            Event(kind="end", state=State.CANCELLED).body(),
            keys.celery_meta(job_id),
            json.dumps(celery_meta(result)),
            retention_ms,
            usage_ms,
        ],
        read,
    )
