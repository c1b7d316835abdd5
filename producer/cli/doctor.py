"""``apexq doctor``: checks this machine, Redis and the instances one by one."""

from __future__ import annotations

from dataclasses import asdict

import click

from producer.cli.check import Check
from producer.cli.checkup import examine
from producer.cli.edge import Exit
from producer.cli.options import json_option
from producer.cli.output import printable, say, say_json

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Check this machine, Redis and the instances.

    Ends with 0 if nothing failed; a warning is not a failure.
    """
    checks = []
    for check in examine():
        checks.append(check)
        if not as_json:
            _show(check)
    failed = [check for check in checks if check.status == "fail"]
    if as_json:
        say_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        say()
        say(f"{len(failed)} failed." if failed else "Nothing failed.")
    return Exit.FAILED if failed else Exit.OK


def _show(check: Check) -> None:
    mark = click.style(f"{check.status:<5}", fg=COLOURS[check.status])
    say(f"{mark} {check.name:<12} {printable(check.found)}")
    for line in check.lines:
        say(f"{'':<5} {'':<12} {printable(line)}")
    if check.todo and check.status != "ok":
        say(f"{'':<5} {'':<12} -> {check.todo}")
