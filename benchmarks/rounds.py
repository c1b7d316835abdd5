"""Interleaved rounds: what disturbs the machine meets both sides alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def interleave(
    count: int, ours: Callable[[], T], baseline: Callable[[], T]
) -> tuple[list[T], list[T]]:
    """Runs both ``count`` times, after a round of each that is thrown away.

    The first goes second in the next round, so a drift of the machine favours neither.
    """
    ours(), baseline()
    mine: list[T] = []
    theirs: list[T] = []
    for index in range(count):
        if index % 2:
            theirs.append(baseline())
            mine.append(ours())
        else:
            mine.append(ours())
            theirs.append(baseline())
    return mine, theirs
