"""Processes that work on for nobody: their job was given to another attempt, unheard."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

PATIENCE_MS = 5000  # for a process that was nudged to hear that its job is another's


class Work(NamedTuple):
    """A process of the pool, and the id of the job that it was handed and has not reported."""

    job_id: str
    pid: int


class Strays:
    """Since when, in Redis' time, processes have had jobs that are not theirs in the ledger.

    A parent that stood still for longer than the lease comes back to such a process. Its next chunk
    bounces off the fence, but one that hangs has no next chunk, and would keep its slot for ever.
    """

    def __init__(self) -> None:
        self._since: dict[Work, int] = {}

    def look(self, works: Iterable[Work], theirs: Collection[Work], now_ms: int) -> set[Work]:
        """What is done for nobody now; ``theirs`` is what the ledger knows of."""
        found = set(works) - set(theirs)
        self._since = {work: self._since.get(work, now_ms) for work in found}
        return found

    def deaf(self, now_ms: int, heard_since_ms: int) -> set[Work]:
        """Of these what has gone on for long, Redis answering all the while."""
        return {
            work
            for work, since in self._since.items()
            if now_ms - max(since, heard_since_ms) > PATIENCE_MS
        }
