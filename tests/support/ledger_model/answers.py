"""An answer of the ledger that can be compared."""

from __future__ import annotations

from typing import Any

from ledger.errors import ApexError, BudgetExceeded, QueueFull


def sums_of(answer: str | ApexError) -> Any:
    """An answer without the times in it."""
    if isinstance(answer, QueueFull):
        return [answer.instance, answer.waiting]
    if not isinstance(answer, BudgetExceeded):
        return str(answer)
    facts = answer.facts
    return [facts[name] for name in ("scope", "limit", "used", "held", "requested", "window")]
