"""Episodes: runs of many jobs under one token budget and one deadline."""

from __future__ import annotations

from ledger.errors import EpisodeOver
from ledger.levels import Level
from ledger.scripts import Call


def open_episode(
    level: Level, *, token_budget: int | None, timeout_s: float, cap_s: float
) -> Call[int]:
    """Opens an episode, or finds it open. Reads as its deadline, in ms of Redis' clock."""
    limit = "" if token_budget is None else token_budget
    args = [limit, int(timeout_s * 1000), int(cap_s * 1000)]
    return Call("open_episode", [level.key], args, int)


def progress(level: Level, *, kind: str, extend_s: float) -> Call[float]:
    """Reports progress. Near the deadline it moves the deadline, never past the cap.

    Reads as the seconds that are left.

    Raises (when read):
        EpisodeOver: its deadline has passed, or it was never opened.
    """

    def read(left_ms: int | None) -> float:
        if not left_ms:
            raise EpisodeOver(episode_id=level.ids[-1])
        return left_ms / 1000

    return Call("progress", [level.key], [kind, int(extend_s * 1000)], read)
