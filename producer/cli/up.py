"""``apexq up``: Redis and one worker per instance, for as long as it runs or until ``down``."""

from __future__ import annotations

import socket
from typing import Any

import click

from ledger.settings import Settings, load_settings
from producer.cli.options import json_option
from producer.cli.output import complain, counted_are, say, say_aside, say_json
from producer.cli.watch import Watch
from producer.fit import fits_of
from producer.local import LocalStack, detached
from producer.local.valkey import HOST


@click.command("up")
@click.option("--instances", type=int, help="How many like instances.  [default: the settings', 5]")
@click.option("--backend", help="Backend of the instances.  [default: the settings', mock]")
@click.option("--model", help="Their model: a path or a name, as the backend takes it.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the Redis that is started.  [any free]"
)
@click.option("--force", is_flag=True, help="Start even if the models do not seem to fit.")
@click.option("--detach", "-d", is_flag=True, help="Return once it is up; `apexq down` stops them.")
@json_option
def command(
    instances: int | None,
    backend: str | None,
    model: str | None,
    port: int | None,
    force: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Start Redis and one worker per instance on this machine.

    Runs until Ctrl-C, or until `apexq down` in the same directory. Where the settings name a Redis
    (REDIS_URL), that one is used and not stopped. Data and logs are in `.apexq`.
    """
    wanted: dict[str, Any] = {
        "instances": instances,
        "backend": backend,
        "model": model,
        "memory_check": False if force else None,
    }
    settings = load_settings(**wanted)
    _require_memory(settings, as_json)
    named = "redis_url" in settings.model_fields_set
    # Its port is chosen here, and not by the stack, so that the instances can be watched.
    arguments = wanted | {
        "port": port or (None if named else _free_port()),
        "ready_timeout_s": settings.load_timeout_s,
    }
    url = settings.redis_url if named else f"redis://{HOST}:{arguments['port']}/0"
    with Watch(url, settings, quiet=as_json) as watch:
        if detach:
            state = detached.up(**arguments)
            watch.finish()
            _announce(settings, state.redis_url, as_json, "`apexq down`")
            return
        with LocalStack(**arguments, state_dir=detached.STATE_DIR) as stack:
            watch.finish()
            _announce(settings, stack.redis_url, as_json, "Ctrl-C")
            _stay(stack, as_json)


def _require_memory(settings: Settings, as_json: bool) -> None:
    """Refuses models that do not fit, after the arithmetic; or shows that and goes on."""
    for fit in fits_of(settings):
        if fit.fits:
            continue
        if not as_json:
            say_aside("\n".join(fit.lines()))
        if settings.memory_check:
            fit.require()
        elif not as_json:
            complain("the models do not seem to fit into memory; starting them all the same")


def _announce(settings: Settings, url: str, as_json: bool, what_stops: str) -> None:
    if as_json:
        say_json({"redis_url": url, "instances": [one.name for one in settings.instances]})
        return
    instances = counted_are(len(settings.instances), "instance")
    them = "it" if len(settings.instances) == 1 else "them"
    say(f"{instances} ready. {what_stops} stops {them}. To use {them} from elsewhere:")
    say(f"export REDIS_URL={url}")


def _stay(stack: LocalStack, as_json: bool) -> None:
    try:
        stack.wait()
        ended = "The stack was stopped; .apexq/log says more."
    except KeyboardInterrupt:
        if not as_json:
            say("\nStopping …")
        stack.stop()
        ended = "The stack is down."
    if not as_json:
        say(ended)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
