"""Priorities as people, Celery and the ledger write them."""

from __future__ import annotations

from ledger.errors import InvalidRequest
from ledger.priority import Priority

__all__ = ["Priority", "celery_priority", "from_celery", "parse"]


def celery_priority(priority: Priority) -> int:
    """Celery's number, 0 to 9; 0 is served first."""
    return priority.value


def from_celery(number: int | None) -> Priority:
    """The priority of a Celery message; none means 0, and numbers between go to the step below.

    Rounds and clamps as kombu's Redis transport does when it chooses a list.
    """
    step = min(max(number or 0, 0), 9) // 3
    return Priority(step * 3)


def parse(value: str | int | Priority) -> Priority:
    """The priority of this name (in any case) or of this number (0, 3, 6, 9).

    Raises:
        InvalidRequest: there is none.
    """
    if isinstance(value, str) and value.upper() in Priority.__members__:
        return Priority[value.upper()]
    if isinstance(value, int) and not isinstance(value, bool) and value in tuple(Priority):
        return Priority(value)
    known = ", ".join(f"{one.name} ({one.value})" for one in Priority)
    raise InvalidRequest(f"There is no priority {value!r}; known: {known}.")
