"""``apexq worker``: becomes the Celery worker of one instance."""

from __future__ import annotations

import os
import sys

import click

from producer.cli.options import json_option, local_settings


@click.command("worker", context_settings={"ignore_unknown_options": True})
@click.argument("instance")
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
@json_option
def command(instance: str, celery_options: tuple[str, ...], as_json: bool) -> None:
    """Run the worker of one instance.

    The same as `celery -A workers worker -Q INSTANCE`. What follows INSTANCE goes to Celery, as in
    `apexq worker inst0 --loglevel INFO`.
    """
    settings = local_settings()
    settings.instance(instance)  # refused here, not after Celery's start
    if any(option.startswith(("-Q", "--queues")) for option in celery_options):
        raise click.UsageError("The queue of a worker is its instance; leave -Q out.")
    sys.stdout.flush()
    celery = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", instance]
    env = {**os.environ, "REDIS_URL": settings.redis_url}
    os.execvpe(celery[0], [*celery, *celery_options], env)
