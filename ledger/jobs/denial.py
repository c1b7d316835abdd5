"""Why a budget has no room for a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger.errors import BudgetExceeded
from ledger.levels import Level


def denied(reply: list[Any], levels: Sequence[Level], requested: int) -> BudgetExceeded:
    """What a script answered that could not hold ``requested`` tokens, as an error."""
    level = levels[reply[1] - 1]
    limit, used, held, window, now_ms = reply[2:]
    return BudgetExceeded.of(
        level.name, limit, used, held, requested, window=window or None, now_ms=now_ms
    )
