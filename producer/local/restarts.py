"""When a process that died is started again, and when no more."""

from __future__ import annotations

from collections import deque

FIRST_S = 0.1
LONGEST_S = 5.0


class Restarts:
    """Doubles the pause with each death in the window; ``limit`` deaths in it are too many."""

    def __init__(self, limit: int = 5, window_s: float = 60.0) -> None:
        self.limit, self.window_s = limit, window_s
        self._deaths: deque[float] = deque(maxlen=limit)

    def after_death(self, now_s: float) -> float | None:
        """Seconds to wait before the next start, or None if there is to be none."""
        self._deaths.append(now_s)
        while now_s - self._deaths[0] > self.window_s:
            self._deaths.popleft()
        if len(self._deaths) == self.limit:
            return None
        return min(FIRST_S * 2.0 ** (len(self._deaths) - 1), LONGEST_S)
