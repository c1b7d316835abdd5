"""``apexq usage``: what was spent, in tokens and, where models have a price, in money."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from budgets.usage import BY, Line, report
from ledger.redis_client import Ledger
from ledger.steps import drive
from producer.accounting import Accounting
from producer.cli.options import json_option, local_settings
from producer.cli.output import say, say_json, table

HEADS = {"tenant": ("TENANT",), "agent": ("TENANT", "AGENT"), "model": ("MODEL",), "day": ("DAY",)}
CENTS = Decimal("0.01")


@click.command("usage")
@click.option(
    "--by",
    type=click.Choice(list(BY)),
    default="tenant",
    show_default=True,
    help="What is added up.",
)
@click.option("--tenant", help="Only what this tenant spent.  [default: all tenants]")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only from this day on, UTC.  [default: all that is kept]",
)
@json_option
def command(by: str, tenant: str | None, since: datetime | None, as_json: bool) -> None:
    """Show what was spent, in tokens and money.

    A job counts on the day on which it ends, in UTC, under the model of its instance. Money is
    shown where apexq.toml has a price for a model.
    """
    settings = local_settings()
    ledger = Ledger(settings.redis_url)
    try:
        steps = Accounting(settings, tenant or "default").usage(
            tenant, None if since is None else since.replace(tzinfo=UTC).date()
        )
        rows = drive(ledger, steps)
    finally:
        ledger.close()
    lines, total = report(rows, by, settings.prices)
    if as_json:
        head = [name.lower() for name in HEADS[by]]
        found = [dict(zip(head, line.name, strict=True)) | _facts(line) for line in lines]
        say_json({"by": by, "lines": found, "total": _facts(total)})
    elif not lines:
        say("Nothing was spent.")
    else:
        say(_table(HEADS[by], lines, total, with_cost=bool(settings.prices)))


def _facts(line: Line) -> dict[str, Any]:
    """As JSON has it; money as text, because it is exact."""
    return {
        "jobs": line.jobs,
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.completion_tokens,
        "tokens": line.tokens,
        "cost": {currency: f"{cost.normalize():f}" for currency, cost in line.cost.items()},
        "unpriced_tokens": line.unpriced,
    }


def _table(head: Sequence[str], lines: Sequence[Line], total: Line, *, with_cost: bool) -> str:
    total.name = ("total", *[""] * (len(head) - 1))
    columns = [*head, "JOBS", "PROMPT", "ANSWER", "TOKENS", *(["COST"] if with_cost else [])]
    rows = [
        [
            *line.name,
            *(
                f"{count:,}"
                for count in (line.jobs, line.prompt_tokens, line.completion_tokens, line.tokens)
            ),
            *([_cost(line)] if with_cost else []),
        ]
        for line in (*lines, total)
    ]
    return table(columns, rows, right=range(len(head), len(columns)))


def _cost(line: Line) -> str:
    """Money with two digits, and with more where it is less than a cent."""
    parts = [f"{_rounded(cost)} {currency}".rstrip() for currency, cost in line.cost.items()]
    if line.unpriced:
        parts.append(f"{line.unpriced:,} tokens without a price")
    return " + ".join(parts)


def _rounded(cost: Decimal) -> str:
    return f"{cost:,.2f}" if cost >= CENTS or not cost else f"{cost:.2g}"
