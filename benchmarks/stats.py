"""The few statistics that the report needs; quantiles by linear interpolation."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which the share ``q`` (0..1) of ``values`` lies.

    Raises:
        ValueError: there are no values, or ``q`` is no share.
    """
    if not values or not 0 <= q <= 1:
        raise ValueError(f"no quantile {q} of {len(values)} values")
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def median(values: Sequence[float]) -> float:
    """The value in the middle."""
    return quantile(values, 0.5)


def iqr(values: Sequence[float]) -> float:
    """The width of the middle half: a spread that one disturbed round does not move."""
    return quantile(values, 0.75) - quantile(values, 0.25)
