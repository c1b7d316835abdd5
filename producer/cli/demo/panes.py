"""The demo in a terminal: the agents side by side. Needs rich."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ledger.errors import ApexError
from ledger.messages import Event, Result
from producer.cli.output import printable

NARROWEST = 75  # columns; five panes in less are no longer readable
LOWEST = 16  # rows
COLOURS = ("cyan", "magenta", "yellow", "blue", "green")
LETTERS = 115  # that a pane has room for, if the terminal has


@dataclass
class Pane:
    """What one agent's pane shows."""

    text: str = ""
    note: str = "waiting"
    style: str = "dim"


class Panes:
    """One pane for each agent, redrawn in place."""

    def __init__(self, names: list[str], console: Console) -> None:
        self._console, self._names = console, names
        self._acts: list[tuple[str, float]] = []  # titles so far, and when each began
        self._over: list[float] = []  # when each act's last agent was done
        self._panes: dict[str, Pane] = {}
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=15, screen=False
        )

    def say(self, text: str) -> None:
        """A line above the panes."""
        self._console.print(text, highlight=False, markup=False)

    def begin(self, title: str) -> None:
        """Empty panes under a new title."""
        self._acts.append((title, time.monotonic()))
        self._panes = {name: Pane() for name in self._names}

    def hear(self, agent: str, event: Event) -> None:
        """More text in the agent's pane."""
        pane = self._panes[agent]
        pane.text = event.text if event.kind == "reset" else pane.text + event.text
        pane.note, pane.style = "answering", self._colour(agent)

    def end(self, agent: str, end: Result | ApexError) -> None:
        """The agent's instance, or what went wrong."""
        pane = self._panes[agent]
        if isinstance(end, ApexError):
            pane.text, pane.note, pane.style = end.message, "failed", "red"
        else:
            pane.note, pane.style = f"{end.instance} done", self._colour(agent)
        if all(one.note.endswith(("done", "failed")) for one in self._panes.values()):
            self._over.append(time.monotonic())

    def _colour(self, agent: str) -> str:
        return COLOURS[self._names.index(agent) % len(COLOURS)]

    def _picture(self) -> RenderableType:
        if not self._panes:
            return Text()
        return Group(*self._titles(), self._row())

    def _titles(self) -> list[Text]:
        lines = []
        for (title, began), over in zip(self._acts, [*self._over, None], strict=False):
            took_s = (over or time.monotonic()) - began
            mark, style = ("✓", "dim") if over else ("▶", "bold")
            lines.append(Text(f"{mark} {title:<18} {took_s:4.1f} s", style=style))
        return lines

    def _row(self) -> Table:
        width = self._console.width // len(self._names)
        padding = 1 if width >= 18 else 0
        inner = width - 2 - 2 * padding
        height = max(4, min(LETTERS // inner + 2, self._console.height - 6))
        row = Table.grid()
        for _ in self._names:
            row.add_column(width=width)
        row.add_row(*(self._panel(name, inner, height, padding) for name in self._names))
        return row

    def _panel(self, name: str, inner: int, height: int, padding: int) -> Panel:
        pane = self._panes[name]
        lines = Text(printable(pane.text)).wrap(self._console, inner)
        return Panel(
            Text("\n").join(lines[-height:]),
            title=Text(name, style="bold"),
            subtitle=pane.note,
            border_style=pane.style,
            box=box.ROUNDED,
            height=height + 2,
            padding=(0, padding),
        )

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
