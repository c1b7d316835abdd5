"""``apexq jobs``: which jobs there are, one of them in full, and taking jobs back."""

from __future__ import annotations

from typing import Any

import click

from ledger import status
from ledger.errors import JobNotFound
from ledger.messages import State
from ledger.priority import Priority
from ledger.redis_client import Ledger
from ledger.status import JobFacts
from ledger.steps import drive
from producer.cli.options import json_option, local_settings
from producer.cli.output import ago, say, say_json, table
from producer.client import LLMClient
from producer.listing import LIVE, Listing, Wanted, list_jobs

ENDED = tuple(state for state in State if state.terminal)
GROUPS: dict[str, tuple[State, ...]] = {
    "live": LIVE,
    "waiting": (State.QUEUED,),
    "ended": ENDED,
    "all": tuple(State),
}
STATES = [*GROUPS, *(state.value for state in (State.RUNNING, *ENDED))]


@click.group("jobs")
def command() -> None:
    """List jobs, show one, cancel some.

    No prompt is shown.
    """


@command.command("list", short_help="List those that run or wait, or have ended.")
@click.option(
    "--state",
    type=click.Choice(STATES),
    metavar="STATE",
    default="live",
    show_default=True,
    help=f"Which ones: {', '.join(STATES)}; live: those that run or wait.",
)
@click.option("--instance", help="Only of this instance.")
@click.option("--tenant", help="Only of this tenant.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many."
)
@json_option
def list_command(
    state: str, instance: str | None, tenant: str | None, limit: int, as_json: bool
) -> None:
    """List jobs: those that run, those that wait in their order, ended ones from the latest on."""
    states = GROUPS.get(state) or (State(state),)
    ledger = Ledger(local_settings().redis_url)
    try:
        found = drive(ledger, list_jobs(Wanted(frozenset(states), instance, tenant, limit)))
    finally:
        ledger.close()
    if as_json:
        jobs = [_to_dict(facts) for facts in found.jobs]
        say_json({"jobs": jobs, "complete": found.complete})
    else:
        say(_as_table(found, live=state == "live"))


@command.command("show", short_help="Show one: whose it is, where it stands, its cost.")
@click.argument("job_id", metavar="JOB")
@json_option
def show_command(job_id: str, as_json: bool) -> None:
    """Show one job: whose it is, where it stands, what it has cost; with --json its answer too."""
    ledger = Ledger(local_settings().redis_url)
    try:
        entry = ledger.run(status.read_job(job_id))
        if entry is None:
            raise JobNotFound(job_id=job_id)
        stands = ledger.run(status.job_status(job_id, entry.facts.instance))
    finally:
        ledger.close()
    facts, result = entry.facts, entry.result
    about = _to_dict(facts) | {
        "session_id": facts.session_id,
        "episode_id": facts.episode_id,
        "position": stands.position,
        "eta_s": stands.eta_s,
        "why": stands.why,
    }
    if as_json:
        say_json(about | {"result": result and result.model_dump(mode="json")})
        return
    if result is not None:
        about["usage"] = f"{result.usage.prompt_tokens:,} + {result.usage.completion_tokens:,}"
        about["total_s"] = round(result.timings.total_ms / 1000, 3)
    for name, value in about.items():
        if value is not None:
            say(f"{name:<17} {value}")


@command.command("cancel", short_help="Cancel some.")
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@json_option
def cancel_command(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs. What they made is charged, the rest of what they held is given back."""
    with LLMClient(local_settings()) as client:
        answers = {job_id: client.job(job_id).cancel() for job_id in job_ids}
    if as_json:
        say_json(answers)
        return
    for job_id, answer in answers.items():
        said = {"cancelled": "is cancelled", "stopping": "is told to stop"}
        say(f"Job {job_id} {said.get(answer, f'had {answer} before')}.")


def _to_dict(facts: JobFacts) -> dict[str, Any]:
    ended = facts.state.terminal
    return {
        "job_id": facts.job_id,
        "state": facts.state,
        "priority": _priority_of(facts),
        "instance": facts.instance,
        "tenant": facts.tenant,
        "agent_id": facts.agent_id,
        "attempt": facts.failures + 1,
        "tokens_made": facts.made,
        "tokens_held": facts.held,
        "submitted_s_ago": (facts.now_ms - facts.submitted_ms) / 1000,
        "ended_s_ago": (facts.now_ms - facts.ended_ms) / 1000 if ended else None,
    }


def _as_table(found: Listing, *, live: bool) -> str:
    if not found.jobs:
        if not found.complete:
            return "None among those that were looked at."
        return (
            "No such jobs; --state ended lists those that have ended." if live else "No such jobs."
        )
    head = ("JOB", "STATE", "PRIORITY", "INSTANCE", "TENANT", "AGENT", "MADE", "SUBMITTED")
    rows = [
        (
            facts.job_id,
            facts.state,
            _priority_of(facts),
            facts.instance,
            facts.tenant,
            facts.agent_id,
            f"{facts.made:,}",
            ago((facts.now_ms - facts.submitted_ms) / 1000),
        )
        for facts in found.jobs
    ]
    more = "" if found.complete else "\n… and more; --limit and the filters say which."
    return table(head, rows, right=(6, 7), spare=(4, 2, 6, 3)) + more


def _priority_of(facts: JobFacts) -> str:
    return Priority(facts.band * 3).name
