"""Which turns of a session fit a model's window."""

from __future__ import annotations

from collections.abc import Callable


def turns_that_fit(turns: int, room: int, tokens_with: Callable[[int], int]) -> int:
    """How many of the latest turns fit; the oldest go first, and a turn goes as a whole.

    The whole prompt is counted each time, in the model's own tokens, because templates and
    tokenizers do not add up; so there are few counts: the number that fits is found by bisection.

    Args:
        turns: how many there are.
        room: tokens that the whole prompt may have.
        tokens_with: tokens of the whole prompt with so many of the latest turns; grows with them.
    """
    if turns == 0 or tokens_with(turns) <= room:
        return turns
    fit, too_many = 0, turns
    while too_many - fit > 1:
        half = (fit + too_many) // 2
        if tokens_with(half) <= room:
            fit = half
        else:
            too_many = half
    return fit
