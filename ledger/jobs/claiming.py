"""Taking a job into a worker's hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands. ``fence`` proves it; times are Redis' own, in ms, 0: none.

    ``lifted``: it waited for so long that it counts as so many bands higher.
    """

    job_id: str
    fence: int
    request: str
    submitted_ms: int
    claimed_ms: int
    deadline_ms: int
    held: int
    made: int
    prompt_tokens: int
    failures: int
    episode_deadline_ms: int = 0
    lifted: int = 0

    @property
    def episode_over(self) -> bool:
        """Whether the deadline of its episode had passed when it was claimed."""
        return 0 < self.episode_deadline_ms < self.claimed_ms


@dataclass(frozen=True, slots=True)
class Noop:
    """A wake-up that does not apply; ``state`` is the job's, or ``gone`` or ``corrupt``."""

    state: str


def claim(
    job_id: str, *, instance: str, owner: str, pid: int, lease_ms: int, nonce: str
) -> Call[Claim | Noop]:
    """Takes the job for process ``pid`` of ``owner``, if it still waits for this instance."""

    def read(reply: list[Any]) -> Claim | Noop:
        if reply[0] == "noop":
            return Noop(reply[1])
        return Claim(job_id, *reply[1:])

    return Call(
        "claim",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.fair(instance),
            keys.queue(instance),
            keys.held_back(instance),
            keys.EXPIRING,
            keys.DELAYED,
        ],
        [job_id, instance, owner, pid, lease_ms, nonce, keys.budget("episode")],
        read,
    )
