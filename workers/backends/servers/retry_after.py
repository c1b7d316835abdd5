"""When a server wants to be asked again, as its headers say it."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping

LONGEST_S = 3600.0
BUSY_S = 5.0  # until a server that takes no more requests is asked again, where it says nothing


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds, an hour at most; None where the headers say nothing that can be read.

    ``retry-after-ms`` (milliseconds) is OpenAI's and Anthropic's, ``retry-after`` (seconds or a
    date) is of RFC 9110, section 10.2.3.

    Args:
        headers: of the answer; names in lower case, or found in either.
        now: the time in seconds since 1970, for dates; None for the clock's.
    """
    wait_ms = _number(headers.get("retry-after-ms"))
    if wait_ms is not None:
        return _bounded(wait_ms / 1000)
    given = headers.get("retry-after")
    wait_s = _number(given)
    if wait_s is None and given is not None:
        wait_s = _until(given, time.time() if now is None else now)
    return None if wait_s is None else _bounded(wait_s)


def _until(date: str, now: float) -> float | None:
    try:
        parts = email.utils.parsedate_tz(date)
        return None if parts is None else email.utils.mktime_tz(parts) - now
    except (ValueError, OverflowError):  # a year, or a zone, that no calendar has
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _bounded(wait_s: float) -> float | None:
    """None for what is over already."""
    return min(wait_s, LONGEST_S) if wait_s > 0 else None
