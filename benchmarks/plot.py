"""The rows with a goal, as a picture: a bar for what was measured, a mark for what was wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.goal import Goal
from benchmarks.row import Row
from benchmarks.table import number

MET, MISSED, GOAL = "#3b7dd8", "#d1495b", "#222222"
SETTINGS: Any = {"svg.hashsalt": "apexq", "svg.fonttype": "none", "font.size": 9}

SLOWER = "Time and cost as a multiple of the baseline: shorter is better"
FASTER = "Throughput as a multiple of the baseline: longer is better"
LARGER = "Memory as a share of what is allowed: shorter is better"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row in the picture."""

    name: str
    length: float
    mark: float
    met: bool
    label: str


def draw(rows: Sequence[Row], caption: str, path: Path) -> None:
    """Writes the picture as SVG; equal rows make an equal file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels: dict[str, list[Bar]] = {}
    for row in rows:
        if row.goal is not None:
            panels.setdefault(_title(row.goal), []).append(_bar(row, row.goal))
    with mpl.rc_context(SETTINGS):
        heights = [len(bars) + 1.2 for bars in panels.values()]
        figure: Any = Figure(figsize=(8.5, 0.42 * sum(heights) + 0.5), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for ax, (title, bars) in zip(axes[:, 0], panels.items(), strict=True):
            _draw_panel(ax, title, bars)
        figure.supxlabel(caption, fontsize=7, color="#555555")
        figure.savefig(path, metadata={"Date": None})


def _title(goal: Goal) -> str:
    if goal.of == "value":
        return LARGER
    return FASTER if goal.comparison == ">=" else SLOWER


def _bar(row: Row, goal: Goal) -> Bar:
    met = bool(row.met)
    if goal.of == "value":
        label = f"{number(row.ours)} {row.unit}, goal {goal.comparison} {goal.bound:,g}"
        return Bar(row.name, row.ours / goal.bound, 1, met, label)
    label = f"{number(row.ratio)} x, goal {goal.comparison} {goal.bound:g}"
    return Bar(row.name, row.ratio or 0, goal.bound, met, label)


def _draw_panel(ax: Any, title: str, bars: Sequence[Bar]) -> None:
    at = range(len(bars))
    ax.barh(
        at,
        [bar.length for bar in bars],
        height=0.6,
        color=[MET if bar.met else MISSED for bar in bars],
    )
    marks = [bar.mark for bar in bars]
    ax.vlines(marks, [y - 0.42 for y in at], [y + 0.42 for y in at], color=GOAL, linewidth=2)
    right = max(max(bar.length, bar.mark) for bar in bars)
    for y, bar in zip(at, bars, strict=True):
        ax.text(max(bar.length, bar.mark) + right * 0.015, y, bar.label, va="center")
    ax.set_title(title, loc="left", fontsize=10)
    ax.set_yticks(list(at), [bar.name for bar in bars])
    ax.set_xlim(0, right * 1.4)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
