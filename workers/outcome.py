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


Ended = tuple[Outcome, str]  # with the sentence that says why, where a job failed or was given back

FENCED: Ended = (Outcome.NOOP, "fenced")
