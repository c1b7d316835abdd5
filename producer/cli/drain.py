"""``apexq drain``: takes an instance out of service."""

from __future__ import annotations

from dataclasses import asdict

import click

from producer.cli.options import json_option, local_settings
from producer.cli.output import say, say_json
from producer.client import LLMClient


@click.command("drain")
@click.argument("instance")
@json_option
def command(instance: str, as_json: bool) -> None:
    """Take an instance out of service; what waits goes elsewhere.

    It stays so until `apexq resume`. What runs is finished. What waits goes to other instances
    with its model; jobs for this instance alone, or whose model no other living one has, wait on.
    """
    with LLMClient(local_settings()) as client:
        shift = client.drain(instance)
    if as_json:
        say_json(asdict(shift))
        return
    said = "is drained" if shift.changed else "was drained already"
    say(
        f"{instance} {said}: {shift.moved:,} waiting jobs moved, {shift.waiting:,} wait on, "
        f"{shift.running:,} run and will be finished."
    )
