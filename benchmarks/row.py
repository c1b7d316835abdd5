"""One line of the report: what was measured in every round, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.goal import Goal
from benchmarks.stats import iqr, median


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of each round, ours and the baseline's. Round n of both ran side by side."""

    name: str
    unit: str
    rounds: Sequence[float]
    baseline_rounds: Sequence[float] = ()
    goal: Goal | None = None

    @property
    def ours(self) -> float:
        """The median of our rounds."""
        return median(self.rounds)

    @property
    def baseline(self) -> float | None:
        """The median of the baseline's rounds."""
        return median(self.baseline_rounds) if self.baseline_rounds else None

    @property
    def ratio(self) -> float | None:
        """Ours through the baseline's."""
        return self.ours / self.baseline if self.baseline else None

    @property
    def spread(self) -> float:
        """The interquartile range over the rounds: of their ratios, or of the values if alone."""
        if not self.baseline_rounds:
            return iqr(self.rounds)
        pairs = zip(self.rounds, self.baseline_rounds, strict=True)
        return iqr([ours / baseline for ours, baseline in pairs])

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        return None if self.goal is None else self.goal.met(self.ours, self.ratio)

    def as_dict(self) -> dict[str, Any]:
        """The row as latest.json has it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": _rounded(self.ours),
            "baseline": _rounded(self.baseline),
            "ratio": _rounded(self.ratio),
            "spread": _rounded(self.spread),
            "goal": None if self.goal is None else str(self.goal),
            "met": self.met,
            "rounds": [_rounded(value) for value in self.rounds],
            "baseline_rounds": [_rounded(value) for value in self.baseline_rounds],
        }


def _rounded(value: float | None) -> float | None:
    """Four significant digits are more than the measurement has."""
    return None if value is None else float(f"{value:.4g}")
