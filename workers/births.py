"""Whether the pool's processes come up, so that a model that ends them is not loaded for ever."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

MOST_LOST = 3


class Births:
    """Counts processes in a row that were gone before their model was loaded."""

    def __init__(self) -> None:
        self.lost = 0
        self._loading: AbstractSet[int] = frozenset()

    def came_up(self) -> None:
        """Notes that a process had its model: it ran a job, however soon it was gone after that."""
        self.lost = 0

    def look(self, living: AbstractSet[int], up: AbstractSet[int]) -> bool:
        """Takes the pids of the pool's processes as they are now, and of those that came up.

        Returns True once, when :data:`MOST_LOST` were lost in a row.
        """
        if self._loading & up:
            self.lost = 0
        gone = self._loading - living
        self._loading = living - up
        before, self.lost = self.lost, self.lost + len(gone)
        return before < MOST_LOST <= self.lost
