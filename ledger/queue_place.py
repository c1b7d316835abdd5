"""A waiting job's place before its instance, in words that people can act on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.priority import Priority

SHORTEST_S, LONGEST_S = 1, 60  # of the hint to come back later
UNKNOWN_S = 5  # where no job has run yet
SHARE = 0.01  # of the jobs that wait: others want the places too that become free

QUIET_MS = 10_000  # a worker beats far more often; one that is silent for so long is in trouble


def retry_after_s(waiting: int, *, run_ms: int, slots: int) -> int:
    """Seconds after which a full queue is worth another try: a hundredth of it has run by then."""
    if not run_ms:
        return UNKNOWN_S
    run_s = max(1, waiting * SHARE) * run_ms / 1000 / slots
    return math.ceil(min(max(run_s, SHORTEST_S), LONGEST_S))


def resting(rest_s: float) -> str:
    """For how long an instance rests, and why; its worker's log says which of the two it is."""
    why = "its provider takes no requests, or its server is not there"
    return f"rests for {math.ceil(rest_s)} s: {why}"


@dataclass(frozen=True, slots=True)
class Queue:
    """What stands before a job on ``instance``.

    ``ahead``: jobs of each band, URGENT first, that are served earlier. ``running``: jobs that run.
    ``run_ms``: the average run, 0 if none is known. ``state``, ``reason``: the instance's own,
    empty if it never registered. ``silent_ms``: since it was heard; -1: never. ``pause_ms``: that
    the job waits before its next attempt, or, if it ``shares`` the run of an equal one, until it
    looks for that by itself. ``rest_ms``: that the instance starts no job, because its model's
    provider takes no more requests.
    """

    instance: str
    ahead: Sequence[int]
    running: int
    run_ms: int
    slots: int
    state: str
    reason: str
    silent_ms: int
    pause_ms: int = 0
    rest_ms: int = 0
    shares: bool = False

    @property
    def position(self) -> int:
        """Jobs before it, those that run included."""
        return sum(self.ahead) + self.running

    @property
    def eta_s(self) -> float | None:
        """Seconds until it starts, or None."""
        if not self.run_ms or self._trouble() or self._waits_for_an_equal_one:
            return None
        waits_ms = max(self.pause_ms, self.rest_ms)
        return round((self.position * self.run_ms / self.slots + waits_ms) / 1000, 1)

    @property
    def why(self) -> str:
        """What it waits for."""
        if self._waits_for_an_equal_one:
            return "it waits for the answer to an equal request"
        if self.pause_ms:
            return f"its next attempt is in {math.ceil(self.pause_ms / 1000)} s"
        return self._trouble() or self._rests() or self._behind() or f"next on {self.instance}"

    @property
    def _waits_for_an_equal_one(self) -> bool:
        return self.shares and self.pause_ms > 0

    def _trouble(self) -> str:
        """Why the instance takes no jobs now; empty if it does."""
        if self.state not in ("ready", ""):
            return f"{self.instance} is {self.state}" + (f" ({self.reason})" if self.reason else "")
        if not self.state or self.silent_ms < 0:
            return f"{self.instance} is not registered"
        if self.silent_ms > QUIET_MS:
            return f"{self.instance} has not been heard for {self.silent_ms // 1000} s"
        return ""

    def _rests(self) -> str:
        return f"its instance {resting(self.rest_ms / 1000)}" if self.rest_ms else ""

    def _behind(self) -> str:
        bands = zip(self.ahead, sorted(Priority), strict=True)
        parts = [f"{count:,} {band.name}" for count, band in bands if count]
        if self.running >= self.slots:
            parts.append(f"{self.running:,} running")
        return f"behind {', '.join(parts)} on {self.instance}" if parts else ""
