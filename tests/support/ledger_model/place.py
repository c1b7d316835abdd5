"""An instance of the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ledger import keys


@dataclass
class Place:
    """What the ledger should know of an instance."""

    name: str
    slots: int
    owner: str = ""
    failed: bool = False
    popped: Counter[int] = field(default_factory=Counter)  # by band, since wake-ups were pushed
    leaving: set[str] = field(default_factory=set)  # running jobs that were told to make way

    @property
    def lists(self) -> list[str]:
        """Celery's lists, the best priority first."""
        queue = keys.queue(self.name)
        return [queue, *(f"{queue}{keys.PRIORITY_SEPARATOR}{number}" for number in (3, 6, 9))]
