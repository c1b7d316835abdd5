"""The demo's result: a table and the verdicts, as text, in colour, or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.cli.demo.act import Act
from producer.cli.demo.checks import Verdict
from producer.cli.output import complain, say, table

if TYPE_CHECKING:
    from rich.console import Console

MANY = 1.5  # times faster; below that nothing is said

HEAD = ("agent", "instance", "queue ms", "TTFT ms", "tokens", "budget used")
NUMBERS = (2, 3, 4, 5)


def rows_of(act: Act) -> list[tuple[str, ...]]:
    """A row for each agent, and one for all of them together."""
    rows = []
    for name in act.ends:
        end = act.results.get(name)
        if end is None:
            rows.append((name, "–", "–", "–", "–", f"0 of {act.limit:,}"))
            continue
        usage, timings = end.usage, end.timings
        rows.append(
            (
                name,
                end.instance,
                f"{timings.queued_ms:.1f}",
                "–" if timings.ttft_ms is None else f"{timings.ttft_ms:.1f}",
                f"{usage.prompt_tokens} + {usage.completion_tokens}",
                f"{usage.total_tokens:,} of {act.limit:,}",
            )
        )
    return [*rows, ("together", "", "", "", "", f"{act.used:,} of {act.limit:,}")]


def as_json(alone: Act, together: Act, verdicts: list[Verdict]) -> dict[str, Any]:
    """Table and checks."""
    return {
        "ok": all(verdict.held for verdict in verdicts),
        "agents": [
            {
                "agent": name,
                "instance": end.instance,
                "queued_ms": end.timings.queued_ms,
                "ttft_ms": end.timings.ttft_ms,
                "prompt_tokens": end.usage.prompt_tokens,
                "completion_tokens": end.usage.completion_tokens,
                "text": end.text,
            }
            for name, end in together.results.items()
        ],
        "budget": {"used": together.used, "held": together.held, "limit": together.limit},
        "alone_s": round(alone.took_s, 3),
        "together_s": round(together.took_s, 3),
        "checks": [
            {"name": one.name, "ok": one.held, "failures": list(one.failures)} for one in verdicts
        ],
    }


def show_plain(alone: Act, together: Act, verdicts: list[Verdict]) -> None:
    """Table, speed and verdicts as text."""
    say("\n" + table(HEAD, rows_of(together), right=NUMBERS))
    say("\n" + _speed(alone, together))
    for verdict in verdicts:
        if verdict.held:
            say(f"ok    {verdict.name:<10} {verdict.proved}")
    _show_failures(verdicts)


def show_rich(console: Console, alone: Act, together: Act, verdicts: list[Verdict]) -> None:
    """The same in colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(HEAD):
        grid.add_column(name, justify="right" if number in NUMBERS else "left", no_wrap=True)
    *agents, total = rows_of(together)
    for row in agents:
        grid.add_row(*(Text(cell) for cell in row))
    grid.add_section()
    grid.add_row(*(Text(cell, style="bold") for cell in total))
    console.print(grid)
    console.print(Text(_speed(alone, together)))
    for verdict in verdicts:
        if verdict.held:
            mark = Text.assemble(("✓ ", "bold green"), (f"{verdict.name:<10} ", "bold"))
            line = Table.grid()
            line.add_row(mark, Text(verdict.proved))  # a second line begins below the first one
            console.print(line)
    _show_failures(verdicts)


def _speed(alone: Act, together: Act) -> str:
    said = f"One after another {alone.took_s:.1f} s, all at once {together.took_s:.1f} s"
    times = alone.took_s / max(together.took_s, 1e-9)
    return f"{said}: {times:.1f} times faster." if times > MANY else f"{said}."


def _show_failures(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        for failure in verdict.failures:
            complain(f"{verdict.name}: {failure}.")
