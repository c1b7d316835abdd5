"""A job that keeps a worker busy for as long as a test needs that."""

from __future__ import annotations

from producer import Job, LLMClient


def closed_gate(client: LLMClient, **options: str) -> Job:
    """Runs until it is cancelled, and makes way for nothing; it has made its first token."""
    gate = client.submit(
        "[[mock tokens=60000 tps=200]]",
        **{"agent_id": "gate", "priority": "URGENT", **options},
        max_tokens=60_000,
    )
    next(gate.stream(timeout_s=10))
    return gate
