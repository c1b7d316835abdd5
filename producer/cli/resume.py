"""``apexq resume``: puts a drained instance back into service."""

from __future__ import annotations

from dataclasses import asdict

import click

from producer.cli.options import json_option, local_settings
from producer.cli.output import say, say_json
from producer.client import LLMClient


@click.command("resume")
@click.argument("instance")
@json_option
def command(instance: str, as_json: bool) -> None:
    """Put a drained instance back into service.

    Its agents' jobs that wait elsewhere come back to it, as soon as its worker is ready.
    """
    with LLMClient(local_settings()) as client:
        shift = client.resume(instance)
    if as_json:
        say_json(asdict(shift))
        return
    said = "takes jobs again" if shift.changed else "was not drained"
    say(f"{instance} {said}: {shift.moved:,} waiting jobs came back, {shift.waiting:,} wait.")
