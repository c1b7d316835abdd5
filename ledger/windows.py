"""Fixed windows of time, in UTC, in which a budget may have a limit of its own.

`ledger/lua/_levels.lua` counts in the same windows; a test holds the two equal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

Window = Literal["month", "day", "hour"]

WINDOWS: tuple[Window, ...] = get_args(Window)  # the longest first

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def index(window: Window, now_ms: int) -> int:
    """The number of the window that ``now_ms`` (ms since the epoch) lies in.

    Hours and days are counted since the epoch; a month is its year and its two digits.
    """
    match window:
        case "hour":
            return now_ms // HOUR_MS
        case "day":
            return now_ms // DAY_MS
    now = _utc(now_ms)
    return now.year * 100 + now.month


def next_turn(window: Window, now_ms: int) -> datetime:
    """When the window that ``now_ms`` lies in ends and the next one begins, in UTC."""
    hour = _utc(now_ms).replace(minute=0, second=0, microsecond=0)
    match window:
        case "hour":
            return hour + timedelta(hours=1)
        case "day":
            return hour.replace(hour=0) + timedelta(days=1)
    first = hour.replace(day=1, hour=0)
    return (first + timedelta(days=31)).replace(day=1)


def seconds_until(moment: datetime, now_ms: int) -> float:
    """Seconds from ``now_ms`` to ``moment``."""
    return moment.timestamp() - now_ms / 1000


def in_words(seconds: float) -> str:
    """A time to wait, in its two largest units: ``3 h 12 min``."""
    minutes = max(1, round(seconds / 60))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{count} {unit}" for count, unit in [one for one in parts if one[0]][:2])


def opening(window: Window, now_ms: int) -> str:
    """When the window opens anew, in words: ``at 00:00 UTC (in 3 h 12 min)``."""
    turn = next_turn(window, now_ms)
    wait = in_words(seconds_until(turn, now_ms))
    date = f"on {turn:%Y-%m-%d} " if window == "month" else ""
    return f"{date}at {turn:%H:%M} UTC (in {wait})"


def _utc(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC)
