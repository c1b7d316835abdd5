"""The rows as plain aligned text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.row import Row

HEADER = ("", "unit", "ours", "baseline", "ratio", "spread", "goal", "met")
_MET = {True: "yes", False: "NO", None: ""}


def render(rows: Sequence[Row]) -> str:
    """One line for each row, under a header; names to the left, figures to the right."""
    lines = [HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(_line(cells, widths) for cells in lines)


def number(value: float | None) -> str:
    """Three digits that count, without an exponent; nothing for None."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cells(row: Row) -> tuple[str, ...]:
    figures = (number(value) for value in (row.ours, row.baseline, row.ratio, row.spread))
    return (row.name, row.unit, *figures, str(row.goal or ""), _MET[row.met])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if 2 <= column <= 5 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
