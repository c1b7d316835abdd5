"""``apexq models``: what the registered instances serve."""

from __future__ import annotations

from typing import Any

import click

from ledger.redis_client import Ledger
from producer.cli.instances import Instance, read_instances
from producer.cli.options import json_option, local_settings
from producer.cli.output import say, say_json, table


@click.command("models")
@json_option
def command(as_json: bool) -> None:
    """Show the models that instances serve.

    With the backend of each, its window in tokens, its slots, and how many instances are ready.
    """
    ledger = Ledger(local_settings().redis_url)
    try:
        instances = read_instances(ledger)
    finally:
        ledger.close()
    models = [_about(name, own) for name, own in _by_model(instances).items()]
    if as_json:
        say_json({"models": models})
        return
    if not models:
        say("No instance has registered; start some with `apexq up`.")
        return
    head = ("MODEL", "BACKEND", "WINDOW", "SLOTS", "READY", "INSTANCES")
    rows = [
        (
            model["model"],
            ", ".join(model["backends"]),
            f"{model['window']:,}" if model["window"] else "-",
            str(model["slots"]),
            f"{model['ready']} of {len(model['instances'])}",
            ", ".join(_shown(one) for one in model["instances"]),
        )
        for model in models
    ]
    say(table(head, rows, right=(2, 3)))


def _by_model(instances: list[Instance]) -> dict[str, list[Instance]]:
    found: dict[str, list[Instance]] = {}
    for one in sorted(instances, key=lambda one: one.descriptor.model):
        found.setdefault(one.descriptor.model, []).append(one)
    return found


def _about(name: str, own: list[Instance]) -> dict[str, Any]:
    ready = [one for one in own if one.state == "ready"]
    windows = [one.facts.window for one in own if one.facts.window]
    return {
        "model": name,
        "backends": sorted({one.descriptor.backend for one in own}),
        "window": min(windows, default=0),
        "slots": sum(one.descriptor.slots for one in ready),
        "ready": len(ready),
        "instances": [{"name": one.name, "state": one.state} for one in own],
    }


def _shown(instance: dict[str, str]) -> str:
    name, state = instance["name"], instance["state"]
    return name if state == "ready" else f"{name} ({state})"
