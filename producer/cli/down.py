"""``apexq down``: stops the stack of this directory."""

from __future__ import annotations

import click

from producer.cli.options import json_option
from producer.cli.output import say, say_json
from producer.local import detached


@click.command("down")
@json_option
def command(as_json: bool) -> None:
    """Stop the stack that is up in this directory.

    Its data stay in `.apexq`; the next `apexq up` here has them again.
    """
    stopped = detached.down()
    if as_json:
        say_json({"stopped": stopped})
    else:
        say("The stack is down." if stopped else "No stack is up in this directory.")
