"""Windows of budgets that turn while a test runs."""

from __future__ import annotations

from typing import Any

from ledger.levels import Level
from ledger.windows import Window


def turn_window(client: Any, level: Level, window: Window) -> None:
    """The level's window is over: what was noted there belongs to the one before this one."""
    field = f"at:{window}"
    assert client.hincrby(level.key, field, -1) > 0, f"nothing was spent in this {window}"
