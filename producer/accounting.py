"""Budgets and usage, as steps that the sync and the asyncio client drive alike."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import ValidationError

import budgets
from ledger import accounts, usage
from ledger.accounts import Account
from ledger.budget_spec import EVERY, BudgetSpec
from ledger.errors import InvalidRequest
from ledger.levels import Level
from ledger.messages import sentence
from ledger.settings import Settings
from ledger.steps import Steps
from ledger.usage import Spent
from ledger.windows import DAY_MS
from producer.arguments import IDENTIFIER, check


class Accounting:
    """Limits that are set while everything runs, and what was spent; of one tenant."""

    def __init__(self, settings: Settings, tenant: str) -> None:
        self.settings, self.tenant = settings, tenant

    def level(self, scope: str, own_id: str, agent_id: str | None = None) -> Level:
        """The budget level of this name; ``agent_id``: whose session it is.

        Raises:
            InvalidRequest: there is no such scope or role, or an id is not valid.
        """
        check("tenant", self.tenant, IDENTIFIER)
        check("id", own_id, IDENTIFIER)
        if agent_id is not None:
            check("agent_id", agent_id, IDENTIFIER)
        try:
            return budgets.level_named(self.tenant, scope, own_id, agent_id, self.settings)
        except ValueError as error:
            said = str(error)
            raise InvalidRequest(said if said.endswith("?") else f"{said}.") from None

    def set(self, level: Level, limits: dict[str, Any]) -> Steps[Account]:
        """Sets limits; returns the level as it is then."""
        spec = _spec(limits)
        yield accounts.set_budget(level, spec)
        return (yield from self.show(level))

    def reset(self, level: Level) -> Steps[Account]:
        """Takes back the limits that were set; returns the level as it is then."""
        yield accounts.reset_budget(level)
        return (yield from self.show(level))

    def show(self, level: Level) -> Steps[Account]:
        """The level as it is."""
        found: list[Account] = yield accounts.read_accounts([level])
        return found[0]

    def show_all(self) -> Steps[list[tuple[Level, Account]]]:
        """The tenant's own level, and those of its agents and roles that have a limit."""
        was_set: list[tuple[str, str]] = yield accounts.read_set_budgets(self.tenant)
        in_file = [
            (scope, own_id)
            for scope in ("agent", "role")
            for own_id in self.settings.budgets.get(scope, {})
            if own_id != EVERY
        ]
        names = dict.fromkeys([("tenant", self.tenant), *sorted({*in_file, *was_set})])
        levels = [self.level(*name) for name in names]
        found: list[Account] = yield accounts.read_accounts(levels)
        return list(zip(levels, found, strict=True))

    def usage(self, tenant: str | None, since: date | None) -> Steps[list[Spent]]:
        """What was spent since a day (UTC), as long as it is kept; ``tenant`` None: by all."""
        tenants, today = yield usage.read_tenants()
        first = today - int(self.settings.usage_retention_s * 1000 // DAY_MS)
        if since is not None:
            first = max(first, usage.day_number(since))
        found: list[Spent] = []
        for one in tenants if tenant is None else [tenant]:
            found += yield usage.read_usage(one, range(first, today + 1))
        return found


def _spec(limits: dict[str, Any]) -> BudgetSpec:
    given = {name: limit for name, limit in limits.items() if limit is not None}
    try:
        return BudgetSpec(**given)
    except ValidationError as error:
        raise InvalidRequest(sentence(error)) from None
