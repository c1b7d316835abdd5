"""``apexq budget``: limits of tokens, shown, set and taken back while everything runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from ledger.accounts import Account
from ledger.levels import Level
from ledger.redis_client import Ledger
from ledger.steps import Steps, drive
from producer.accounting import Accounting
from producer.cli.options import json_option, local_settings, tenant_option
from producer.cli.output import say, say_json, table

Row = tuple[Level, Account]


@click.command("budget")
@click.argument("action", type=click.Choice(["show", "set", "reset"]), default="show")
@click.argument("scope", required=False)
@click.argument("own_id", metavar="[ID]", required=False)
@tenant_option
@click.option("--agent", "agent_id", help="Whose session it is.")
@click.option("--tokens", type=int, help="Limit in total.")
@click.option("--tokens-per-hour", type=int, help="Limit in each hour.")
@click.option("--tokens-per-day", type=int, help="Limit in each day, UTC.")
@click.option("--tokens-per-month", type=int, help="Limit in each month, UTC.")
@json_option
def command(
    action: str,
    scope: str | None,
    own_id: str | None,
    tenant: str,
    agent_id: str | None,
    as_json: bool,
    **limits: int | None,
) -> None:
    """Show, set or take back limits of tokens.

    SCOPE is tenant, agent, role, session or episode, and ID whose budget of these. A limit that is
    set counts before the one of apexq.toml, until it is taken back. `show` without a SCOPE lists
    the tenant and all of its agents and roles that have a limit.
    """
    if scope is None and action == "show":
        _refuse_limits(limits)
        _print(_run(tenant, lambda accounting: accounting.show_all()), as_json)
        return
    if scope is None or own_id is None:
        raise click.UsageError(f"{action} takes a scope and an id, such as `agent Coder`.")
    if action != "set":
        _refuse_limits(limits)
    elif not any(limit is not None for limit in limits.values()):
        raise click.UsageError("set takes a limit, such as --tokens-per-day 100000.")

    def steps(accounting: Accounting) -> Steps[list[Row]]:
        level = accounting.level(scope, own_id, agent_id)
        match action:
            case "set":
                account = yield from accounting.set(level, limits)
            case "reset":
                account = yield from accounting.reset(level)
            case _:
                account = yield from accounting.show(level)
        return [(level, account)]

    _print(_run(tenant, steps), as_json)


def _refuse_limits(limits: dict[str, int | None]) -> None:
    for name, limit in limits.items():
        if limit is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} is for `apexq budget set`.")


def _run(tenant: str, steps: Callable[[Accounting], Steps[list[Row]]]) -> list[Row]:
    settings = local_settings()
    ledger = Ledger(settings.redis_url)
    try:
        return drive(ledger, steps(Accounting(settings, tenant)))
    finally:
        ledger.close()


def _print(rows: list[Row], as_json: bool) -> None:
    if as_json:
        say_json({"budgets": [_as_dict(level, account) for level, account in rows]})
        return
    head = ("BUDGET", "PER", "LIMIT", "USED", "HELD", "FREE", "OPENS ANEW", "FROM")
    say(table(head, [line for row in rows for line in _lines(*row)], right=(2, 3, 4, 5)))


def _as_dict(level: Level, account: Account) -> dict[str, Any]:
    return {"scope": level.scope, "id": level.ids[-1], "tenant": level.ids[0], **asdict(account)}


def _lines(level: Level, account: Account) -> list[tuple[str, ...]]:
    """A line for the total, and one for each window that has a limit."""
    limits: list[tuple[str, int | None, int, str, bool]] = [
        ("total", account.limit, account.used, "", account.was_set)
    ]
    limits += [
        (one.window, one.limit, one.used, _moment(one.resets_at), one.was_set)
        for one in account.windows
    ]
    return [
        (
            level.name if number == 0 else "",
            per,
            "none" if limit is None else f"{limit:,}",
            f"{used:,}",
            f"{account.held:,}",
            "" if limit is None else f"{max(0, limit - used - account.held):,}",
            opens,
            "" if limit is None else "set" if was_set else "settings",
        )
        for number, (per, limit, used, opens, was_set) in enumerate(limits)
    ]


def _moment(iso: str) -> str:
    return f"{iso[:16].replace('T', ' ')} UTC"
