"""``apexq status``: the instances and a tenant's tokens, or where one job stands."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

import budgets
from ledger.accounts import read_accounts
from ledger.address import shown
from ledger.messages import Result
from ledger.redis_client import Ledger
from ledger.status import JobStatus
from producer.cli.instances import Instance, read_instances
from producer.cli.options import json_option, local_settings, tenant_option
from producer.cli.output import ago, say, say_json, table
from producer.client import LLMClient
from producer.operations import stats_of


@click.command("status")
@click.argument("job", required=False)
@tenant_option
@json_option
def command(job: str | None, tenant: str, as_json: bool) -> None:
    """Show the instances and tokens, or where a job stands.

    Without JOB: every instance and the tenant's tokens. With the id of a JOB: its state, how many
    jobs are before it, when it will start, and why it has not yet.
    """
    if job is not None:
        _show_job(job, as_json)
    else:
        _show_instances(tenant, as_json)


def _show_instances(tenant: str, as_json: bool) -> None:
    settings = local_settings()
    ledger = Ledger(settings.redis_url)
    try:
        instances = read_instances(ledger)
        account = ledger.run(read_accounts([budgets.tenant_level(tenant, settings)]))[0]
    finally:
        ledger.close()
    windows = [asdict(window) for window in account.windows]
    tokens = {"tenant": tenant, **stats_of(account), "windows": windows}
    url = shown(settings.redis_url)
    if as_json:
        rows = [one.to_dict() for one in instances]
        say_json({"redis": url, "instances": rows, "tokens": tokens})
        return
    say(f"Redis {url}")
    say()
    say(_instance_table(instances) if instances else _nobody())
    say()
    limit = "no limit" if account.limit is None else f"limit {account.limit:,}"
    say(f"Tokens of tenant {tenant}: {account.used:,} used, {account.held:,} held, {limit}")
    for window in account.windows:
        full = window.used + account.held >= window.limit
        opens = f"{window.resets_at[11:16]} UTC on {window.resets_at[:10]}"
        say(
            f"  this {window.window}: {window.used:,} of {window.limit:,} used; "
            f"{'budget window opens' if full else 'a new window begins at'} {opens}"
        )


def _instance_table(instances: list[Instance]) -> str:
    head = ("INSTANCE", "STATE", "WAITING", "RUNNING", "HEARD", "MODEL", "NODE", "WHY")
    rows = [
        (
            one.name,
            one.state,
            f"{one.facts.waiting:,}",
            f"{one.facts.running:,}",
            "never" if one.facts.heard_s is None else ago(one.facts.heard_s),
            one.descriptor.model,
            one.facts.node,
            one.why,
        )
        for one in instances
    ]
    return table(head, rows, right=(2, 3, 4))


def _nobody() -> str:
    return (
        "No instance has registered; start some with `apexq up` or one with `apexq worker inst0`."
    )


def _show_job(job_id: str, as_json: bool) -> None:
    with LLMClient(local_settings()) as client:
        job = client.job(job_id)
        status = job.status()
        result = job.outcome(timeout=10) if status.state.terminal else None
    if as_json:
        say_json({**asdict(status), "result": result and result.model_dump(mode="json")})
        return
    for name, value in _job_lines(status, result):
        say(f"{name:<9} {value}")


def _job_lines(status: JobStatus, result: Result | None) -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = [
        ("Job", status.job_id),
        ("State", status.state),
        ("Instance", status.instance),
    ]
    if status.position is not None:
        eta = "unknown" if status.eta_s is None else f"in about {status.eta_s:g} s"
        lines += [("Position", f"{status.position:,} before it"), ("Start", eta)]
    if result is not None:
        usage, ended = result.usage, result.finish_reason
        lines += [
            ("Tokens", f"{usage.prompt_tokens:,} prompt + {usage.completion_tokens:,} answer"),
            ("Time", f"{result.timings.total_ms / 1000:.2f} s, attempt {result.attempt}"),
            ("Why", result.error["message"] if result.error else f"finished: {ended}"),
        ]
    else:
        lines.append(("Why", status.why))
    return lines
