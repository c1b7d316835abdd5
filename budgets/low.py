"""When a budget counts as nearly spent."""

from __future__ import annotations

LOW_AT = 0.8  # of a stage's or an episode's tokens: then its caller hears `budget_low`, once


def is_low(used: int, limit: int) -> bool:
    """Whether ``used`` of ``limit`` tokens is enough to say so."""
    return used >= LOW_AT * limit
