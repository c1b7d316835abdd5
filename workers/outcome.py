"""How a wake-up ended for its worker."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a wake-up ended for this worker."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    DEAD = "dead"
    CANCELLED = "cancelled"
    REQUEUED = "requeued"
    NOOP = "noop"


# With the sentence that says why, where a job failed or was given back. Celery's log and events
# have it, so it has none of the words in which a library or a server may quote a prompt.
Ended = tuple[Outcome, str]

FENCED: Ended = (Outcome.NOOP, "fenced")
