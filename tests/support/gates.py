"""Jobs that run, and keep a worker busy for as long as a test needs that."""

from __future__ import annotations

from producer import Job, LLMClient

BEGUN_S = 30


def begun(job: Job) -> Job:
    """The job, once its first token is there."""
    next(job.stream(timeout_s=BEGUN_S))
    return job


def closed_gate(client: LLMClient, **options: str) -> Job:
    """Runs until it is cancelled, and makes way for nothing; it has made its first token."""
    return begun(
        client.submit(
            "[[mock tokens=60000 tps=200]]",
            **{"agent_id": "gate", "priority": "URGENT", **options},
            max_tokens=60_000,
        )
    )
