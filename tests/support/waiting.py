"""Waiting for what nobody announces: a line in a log, a value in Redis, a process's end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


def eventually(look: Callable[[], T], timeout_s: float = 15) -> T:
    """What ``look`` returns as soon as that is true; an AssertionError if it never is."""
    until = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < until, f"not seen in {timeout_s} s; the last look: {seen!r}"
        time.sleep(POLL_S)
    return seen
