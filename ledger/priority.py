"""The four priorities; a value is Celery's number, of which 0 is served first."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """URGENT before HIGH before NORMAL before LOW."""

    URGENT = 0
    HIGH = 3
    NORMAL = 6
    LOW = 9

    @property
    def band(self) -> int:
        """Position among the four, 0 to 3."""
        return self.value // 3

    @property
    def yields_to_bands_below(self) -> int:
        """A running job makes way for waiting ones of a band below this number.

        LOW is background work and makes way for everything, NORMAL for URGENT only.
        """
        return {Priority.LOW: 3, Priority.NORMAL: 1}.get(self, 0)
