"""Jobs that run, and keep a worker busy for as long as a test needs that."""

from __future__ import annotations

from ledger import keys
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from tests.support.waiting import eventually

BEGUN_S = 30


def begun(job: Job) -> Job:
    """The job, once its first token is there."""
    next(job.stream(timeout_s=BEGUN_S))
    return job


def pid_of(ledger: Ledger, job: Job) -> int:
    """The process that runs the job, or was the last to; waits until one has it."""
    return int(eventually(lambda: ledger.redis.hget(keys.job(job.id), "pid")))


def closed_gate(client: LLMClient, **options: str) -> Job:
    """Runs until it is cancelled, and makes way for nothing; it has made its first token."""
    return begun(
        client.submit(
            "[[mock tokens=60000 tps=200]]",
            **{"agent_id": "gate", "priority": "URGENT", **options},
            max_tokens=60_000,
        )
    )
