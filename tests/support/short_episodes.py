"""Episodes of a second, of three with progress."""

from __future__ import annotations

from producer import Episode
from tests.support.waiting import eventually

BASE_S, CAP_S = 1, 3
SMALL = {
    "APEX_EPISODE_TIMEOUT_S": str(BASE_S),
    "APEX_EPISODE_TIMEOUT_MAX_S": str(CAP_S),
    "APEX_PROGRESS_EXTEND_S": "0.5",
    "APEX_HEARTBEAT_S": "0.2",
}
DRIPS = "[[mock tokens=2000 tps=20]]"  # a hundred seconds


def over(episode: Episode) -> None:
    """Returns when the episode is past its deadline."""
    eventually(lambda: episode.get_stats()["time_remaining_s"] == 0)
