"""How long a reader bears with a Redis that was there and is away: while it is started again."""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis

from ledger.errors import RedisUnavailable
from ledger.redis_client import CONNECTION

LONGEST_S = float(CONNECTION["socket_timeout"])  # what a single call may take, too
RETRY_S = 0.2


@dataclass(slots=True)
class Outage:
    """A reader's own. One that Redis never answered hears at once that it is away."""

    _heard: bool = False
    _since: float | None = None

    def over(self) -> None:
        """Redis has answered."""
        self._heard, self._since = True, None

    def pause_s(self, error: RedisUnavailable) -> float:
        """Seconds until the next try.

        Raises:
            RedisUnavailable: ``error``, if there is to be none. After a time-out there is none
            either: the caller has waited for long.
        """
        now = time.monotonic()
        self._since = self._since or now
        frozen = isinstance(error.__cause__, redis.TimeoutError)
        if frozen or not self._heard or now - self._since > LONGEST_S:
            raise error
        return RETRY_S
