"""``apexq scale``: changes how many instances a running stack has."""

from __future__ import annotations

from dataclasses import asdict

import click

from producer.cli.options import json_option, local_settings
from producer.cli.output import counted, counted_are, say, say_json
from producer.local.scaling import scale


@click.command("scale")
@click.argument("instances", type=click.IntRange(1, 1000))
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(0),
    default=200.0,
    show_default=True,
    help="Seconds that an instance which goes may take to finish what runs.",
)
@json_option
def command(instances: int, patience_s: float, as_json: bool) -> None:
    """Change how many instances the stack of this directory has.

    New ones take over their share of the agents, with the jobs that wait. The ones with the highest
    numbers go first: they are drained, finish what runs, and are stopped.
    """
    done = scale(instances, local_settings(), patience_s=patience_s)
    if as_json:
        say_json(asdict(done))
        return
    stopped = f", {', '.join(done.stopped)} stopped" if done.stopped else ""
    up = counted_are(len(done.instances), "instance")
    say(f"{up} up{stopped}; {counted(done.moved, 'waiting job')} moved.")
