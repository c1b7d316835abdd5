"""Whether the event loop of a worker's parent turns.

A loop that stands still takes no wake-up, while the guardian's thread goes on saying that the
worker lives: a torture run found one in a read of Celery's that never returned (see
:func:`workers.guardian_step.forget_dead_pipes`).
"""

from __future__ import annotations

MOST_STILL = 120  # looks in a row, a minute of the guardian's ticks


class Pulse:
    """Turns are counted by the loop and looked at by the guardian, from its thread."""

    def __init__(self) -> None:
        self._turns = self._seen = self._still = 0

    def turn(self) -> None:
        """The loop turns."""
        self._turns += 1

    def is_gone(self) -> bool:
        """True once the loop, which has turned before, did not for :data:`MOST_STILL` looks."""
        turned, self._seen = self._turns != self._seen, self._turns
        self._still = 0 if turned or not self._turns else self._still + 1
        return self._still >= MOST_STILL
