"""What a row is to reach."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Literal

_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a row's ratio to the baseline, or on its own value."""

    of: Literal["ratio", "value"]
    comparison: Literal["<=", ">=", "<"]
    bound: float

    def met(self, value: float, ratio: float | None) -> bool:
        """Whether a row with this value and ratio reaches it; a ratio that is missing does not."""
        measured = ratio if self.of == "ratio" else value
        return measured is not None and bool(_COMPARE[self.comparison](measured, self.bound))

    def __str__(self) -> str:
        return f"{self.of} {self.comparison} {self.bound:g}"


def ratio_at_most(bound: float) -> Goal:
    """No slower, or no larger, than ``bound`` times the baseline."""
    return Goal("ratio", "<=", bound)


def ratio_at_least(bound: float) -> Goal:
    """``bound`` times as many as the baseline."""
    return Goal("ratio", ">=", bound)


def below(bound: float) -> Goal:
    """The value itself stays under ``bound``, in the row's unit."""
    return Goal("value", "<", bound)
