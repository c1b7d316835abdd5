"""What the commands print: text, tables, JSON, complaints."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click

GAP = "  "


def say(text: str = "") -> None:
    """One line on stdout, there at once."""
    click.echo(text)


def say_json(value: Any) -> None:
    """``value`` as JSON on stdout. All of it is ASCII, so that no terminal or pipe changes it."""
    click.echo(json.dumps(value, indent=2, default=str))


def say_json_line(value: Any) -> None:
    """``value`` as JSON on a line of its own on stdout, ASCII as well."""
    click.echo(json.dumps(value))


def complain(sentence: str) -> None:
    """One line on stderr, whatever line breaks are in ``sentence``."""
    click.echo(f"apexq: {printable(' '.join(sentence.split()))}", err=True)


def say_aside(text: str) -> None:
    """Lines on stderr: what belongs to a complaint and needs more than a sentence."""
    click.echo(printable(text), err=True)


def stream_text(text: str) -> None:
    """A part of an answer, as it is into a pipe or file, harmless into a terminal."""
    # Not click.echo: it takes escape sequences out of what goes to a pipe.
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def stream_thought(text: str) -> None:
    """A part of what a model thinks, on stderr; dimmed and harmless in a terminal."""
    text = click.style(printable(text), dim=True) if sys.stderr.isatty() else text
    sys.stderr.write(text)
    sys.stderr.flush()


def printable(text: str) -> str:
    """``text`` without the control characters with which a model could drive the terminal."""
    controls = {code for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
    return text.translate(dict.fromkeys(controls, "\N{REPLACEMENT CHARACTER}"))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    spare: Sequence[int] = (),
    room: int | None = None,
) -> str:
    """Aligned columns.

    Args:
        head: their names.
        rows: their cells.
        right: numbers of the columns that are aligned to the right.
        spare: numbers of those that are left out, one by one, while all do not fit.
        room: characters in a line; None: as the terminal has them, without one any number.
    """
    lines = [head, *rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(head))]
    room = _room() if room is None else room
    shown = list(range(len(head)))
    for number in spare:
        if sum(widths[each] + len(GAP) for each in shown) - len(GAP) > room:
            shown.remove(number)
    return "\n".join(
        GAP.join(
            line[number].rjust(widths[number])
            if number in right
            else line[number].ljust(widths[number])
            for number in shown
        ).rstrip()
        for line in lines
    )


def _room() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def counted(number: int, what: str) -> str:
    """``1 instance``, ``5 instances``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def counted_are(number: int, what: str) -> str:
    """``1 instance is``, ``5 instances are``."""
    return f"{counted(number, what)} {'is' if number == 1 else 'are'}"


def ago(seconds: float) -> str:
    """A time that has passed, in the largest unit that fits."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
