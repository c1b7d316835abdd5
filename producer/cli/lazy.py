"""A group of commands whose modules are imported only when they are run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import click


class LazyGroup(click.Group):
    """Knows each command by a line of help; the command is ``command`` in the module of its name.

    So ``--help`` imports none of them.
    """

    def __init__(self, *args: Any, package: str, lines: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package, self.lines = package, lines

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as they are listed."""
        return list(self.lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported."""
        if cmd_name not in self.lines:
            return None
        return cast(click.Command, import_module(f"{self._package}.{cmd_name}").command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown command is answered with the nearest known one."""
        near = difflib.get_close_matches(args[0], self.lines, n=1)
        if args[0] not in self.lines and near:
            ctx.fail(f"No such command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands from their lines."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines.items()))
