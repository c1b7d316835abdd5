"""``apexq models``: what the registered instances serve."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import click

from ledger.redis_client import Ledger
from producer.cli.instances import Instance, read_instances
from producer.cli.options import json_option, local_settings
from producer.cli.output import say, say_json, table

# What few models have, and how the table names it.
SHOWN = {
    "tools": "tools",
    "response_format": "JSON",
    "images": "images",
    "logprobs": "logprobs",
    "reasoning": "reasoning",
}
HEAD = ("MODEL", "BACKEND", "WINDOW", "SLOTS", "READY", "INSTANCES", "HAS", "FALLBACK")
HAS = HEAD.index("HAS")


@click.command("models")
@json_option
def command(as_json: bool) -> None:
    """Show the models that instances serve.

    With the backend of each, its window in tokens, its slots, how many instances are ready, what it
    can do beside plain text, and which models are tried after it.
    """
    settings = local_settings()
    ledger = Ledger(settings.redis_url)
    try:
        instances = read_instances(ledger)
    finally:
        ledger.close()
    served = _by_model(instances)
    models = [_about(name, own, settings.fallbacks.get(name, ())) for name, own in served.items()]
    if as_json:
        say_json({"models": models})
        return
    if not models:
        say("No instance has registered; start some with `apexq up`.")
        return
    rows = [
        (
            model["model"],
            ", ".join(model["backends"]),
            f"{model['window']:,}" if model["window"] else "-",
            str(model["slots"]),
            f"{model['ready']} of {len(model['instances'])}",
            ", ".join(_shown(one) for one in model["instances"]),
            ", ".join(word for name, word in SHOWN.items() if name in model["abilities"]) or "-",
            ", ".join(_chained(name, served) for name in model["fallbacks"]) or "-",
        )
        for model in models
    ]
    show(rows)


def show(rows: Sequence[Sequence[str]]) -> None:
    """The table; where the terminal is too narrow for what the models have, that in lines below."""
    shown = table(HEAD, rows, right=(2, 3), spare=(HAS,))
    say(shown)
    if HEAD[HAS] in shown.partition("\n")[0]:
        return
    for row in rows:
        if row[HAS] != "-":
            say(f"{row[0]} has {row[HAS]}")


def _by_model(instances: list[Instance]) -> dict[str, list[Instance]]:
    found: dict[str, list[Instance]] = {}
    for one in sorted(instances, key=lambda one: one.descriptor.model):
        found.setdefault(one.descriptor.model, []).append(one)
    return found


def _about(name: str, own: list[Instance], fallbacks: Sequence[str]) -> dict[str, Any]:
    ready = [one for one in own if one.state == "ready"]
    windows = [one.facts.window for one in own if one.facts.window]
    told = [set(one.facts.abilities) for one in own if one.facts.abilities]
    return {
        "model": name,
        "backends": sorted({one.descriptor.backend for one in own}),
        "window": min(windows, default=0),
        "slots": sum(one.descriptor.slots for one in ready),
        "ready": len(ready),
        "instances": [{"name": one.name, "state": one.state} for one in own],
        "abilities": sorted(set.intersection(*told)) if told else [],
        "fallbacks": list(fallbacks),
    }


def _shown(instance: dict[str, str]) -> str:
    name, state = instance["name"], instance["state"]
    return name if state == "ready" else f"{name} ({state})"


def _chained(model: str, served: Collection[str]) -> str:
    return model if model in served else f"{model} (no instance)"
