"""``apexq dead``: jobs that were given up, why, and what is to become of them."""

from __future__ import annotations

from typing import Any, TypeVar

import click

from ledger.redis_client import Ledger
from ledger.settings import Settings
from ledger.steps import Steps, drive
from producer.cli.options import json_option, local_settings
from producer.cli.output import ago, say, say_json, table
from producer.dead import DeadJob, drop_dead, list_dead, replay_dead, show_dead
from producer.operations import Operations

T = TypeVar("T")

LONGEST_REASON = 60


@click.group("dead")
def command() -> None:
    """List jobs that were given up, show why, try them again, drop them.

    A job is given up when the last of its attempts (APEX_MAX_ATTEMPTS) has failed. No prompt is
    shown.
    """


@command.command("list", short_help="List them, the latest first.")
@click.option("--instance", help="Only of this instance.")
@click.option("--tenant", help="Only of this tenant.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many."
)
@json_option
def list_command(instance: str | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """List jobs that were given up, the latest first."""
    found = _run(list_dead(instance=instance, tenant=tenant, limit=limit), local_settings())
    if as_json:
        say_json({"dead": [_to_dict(one) for one in found]})
    else:
        say(_as_table(found))


@command.command("show", short_help="Show one: what became of each attempt.")
@click.argument("job_id", metavar="JOB")
@json_option
def show_command(job_id: str, as_json: bool) -> None:
    """Show one job: whose it is and what became of each attempt; with --json its record too."""
    found = _run(show_dead(job_id), local_settings())
    if as_json:
        record = found.record and found.record.model_dump(mode="json")
        say_json(_to_dict(found) | {"history": _error(found).get("history", []), "record": record})
        return
    about = _to_dict(found)
    about["ended"] = ago(about.pop("ended_s_ago"))
    for name, value in about.items():
        say(f"{name:<12} {value}")
    rows = [
        (str(one["attempt"]), str(one["at"]), str(one["instance"]), str(one["reason"]))
        for one in _error(found).get("history", [])
    ]
    say()
    say(table(("ATTEMPT", "ENDED", "INSTANCE", "REASON"), rows))


@command.command("replay", short_help="Try some again, as new jobs.")
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@json_option
def replay_command(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Enqueue what jobs were asked as new jobs, with ids of their own, which hold tokens anew.

    The old ones stay; `apexq dead drop` removes them.
    """
    settings = local_settings()
    operations = Operations(settings, tenant="default")  # a request names its own
    replayed: dict[str, str] = {}
    for job_id in job_ids:
        replayed[job_id] = _run(replay_dead(operations, job_id), settings)
        if not as_json:
            say(f"Job {job_id} is tried again as {replayed[job_id]}.")
    if as_json:
        say_json(replayed)


@command.command("drop", short_help="Remove some.")
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@json_option
def drop_command(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Remove jobs for good: what they were asked, what they made, why they were given up."""
    settings = local_settings()
    for job_id in job_ids:
        _run(drop_dead(job_id), settings)
        if not as_json:
            say(f"Job {job_id} is removed.")
    if as_json:
        say_json({"dropped": list(job_ids)})


def _run(steps: Steps[T], settings: Settings) -> T:
    ledger = Ledger(settings.redis_url)
    try:
        return drive(ledger, steps)
    finally:
        ledger.close()


def _error(one: DeadJob) -> dict[str, Any]:
    error = one.record.error if one.record else None
    return dict((error or {}).get("facts", {}))


def _to_dict(one: DeadJob) -> dict[str, Any]:
    facts = one.facts
    return {
        "job_id": facts.job_id,
        "instance": facts.instance,
        "tenant": facts.tenant,
        "agent_id": facts.agent_id,
        "attempts": facts.failures + 1,
        "tokens_made": facts.made,
        "ended_s_ago": (facts.now_ms - facts.ended_ms) / 1000,
        "reason": _error(one).get("reason", ""),
    }


def _as_table(found: list[DeadJob]) -> str:
    if not found:
        return "No job was given up."
    head = ("JOB", "INSTANCE", "TENANT", "AGENT", "ATTEMPTS", "ENDED", "LAST REASON")
    rows = [
        (
            str(about["job_id"]),
            str(about["instance"]),
            str(about["tenant"]),
            str(about["agent_id"]),
            str(about["attempts"]),
            ago(about["ended_s_ago"]),
            str(about["reason"])[:LONGEST_REASON],
        )
        for about in map(_to_dict, found)
    ]
    return table(head, rows, right=(4, 5), spare=(2, 3, 4, 1))
