"""``apexq erase``: what is kept of a tenant or of a session is removed for good."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from ledger.erasure import Target
from ledger.redis_client import Ledger
from producer.arguments import IDENTIFIER, check
from producer.cli.edge import Exit
from producer.cli.options import json_option, local_settings
from producer.cli.output import complain, say, say_json
from producer.client import LLMClient
from producer.erase import Erased, Found, erase, find


@click.command("erase")
@click.option("--tenant", required=True, help="Whose jobs, sessions and budgets.")
@click.option("--agent", "agent_id", help="Whose session it is.")
@click.option("--session", "session_id", help="Only this session of the agent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds to wait for running jobs to stop.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    tenant: str,
    agent_id: str | None,
    session_id: str | None,
    yes: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Remove what is kept of a tenant or of a session.

    Jobs that wait or run are cancelled first. Then all jobs, their requests, streams and results,
    the turns of sessions, the budgets and the cached answers are removed. Reports of usage stay.
    """
    if (agent_id is None) != (session_id is None):
        raise click.UsageError("--agent and --session go together: a session is of an agent.")
    target = _target(tenant, agent_id, session_id)
    settings = local_settings()
    ledger = Ledger(settings.redis_url)
    try:
        if not yes and not _agreed(target, find(ledger, target), as_json):
            say("Nothing was erased.")
            ctx.exit(Exit.FAILED)
        with LLMClient(settings, tenant=tenant) as client:
            erased = erase(client, ledger, target, patience_s=timeout_s)
    finally:
        ledger.close()
    _report(target, erased, as_json)
    ctx.exit(Exit.FAILED if erased.left else Exit.OK)


def _target(tenant: str, agent_id: str | None, session_id: str | None) -> Target:
    check("tenant", tenant, IDENTIFIER)
    if agent_id is not None and session_id is not None:
        check("agent", agent_id, IDENTIFIER)
        check("session", session_id, IDENTIFIER)
    return Target(tenant, agent_id, session_id)


def _agreed(target: Target, found: Found, as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here; add --yes to erase without asking.")
    say(
        f"{_name(target)}: {len(found.jobs):,} jobs, of which {len(found.live):,} wait or run, "
        f"{len(found.keys):,} sessions and budgets."
    )
    return click.confirm("Erase all of it for good?")


def _report(target: Target, erased: Erased, as_json: bool) -> None:
    if as_json:
        say_json({"erased": asdict(erased)})
    else:
        answers = f", {erased.answers:,} cached answers" if erased.answers else ""
        say(
            f"{_name(target)}: erased {erased.jobs:,} jobs ({erased.cancelled:,} were cancelled), "
            f"{erased.keys:,} sessions and budgets{answers}."
        )
    if erased.left:
        complain(
            f"{len(erased.left):,} jobs have not stopped yet and are still there, such as "
            f"{erased.left[0]}; run the command again once their workers are back."
        )


def _name(target: Target) -> str:
    if target.session_id is None:
        return f"Tenant {target.tenant}"
    return f"Session {target.session_id} of agent {target.agent_id} of tenant {target.tenant}"
