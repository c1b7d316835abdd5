"""What the settings say of one budget: a total of tokens, and tokens in windows of time."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ledger.environment import nearest
from ledger.roles import ROLES, role_of
from ledger.tables import tables

SCOPES = ("tenant", "agent", "role", "session", "episode")
EVERY = "*"
LARGEST = 2**53 - 1  # what a Lua number holds exactly

Tokens = Annotated[int, Field(ge=1, le=LARGEST, strict=True)]


class BudgetSpec(BaseModel):
    """The table ``[budgets.<scope>.<id>]``: tokens of prompts and completions together.

    ``tokens`` is a total; the others count in hours, days and months, in UTC. None: no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: Tokens | None = None
    tokens_per_month: Tokens | None = None
    tokens_per_day: Tokens | None = None
    tokens_per_hour: Tokens | None = None

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, table: object) -> object:
        if isinstance(table, dict):
            refuse_unknown_limits(table)
            if not table:
                raise ValueError("it gives no limit, such as `tokens_per_day = 100_000`")
        return table

    @property
    def limits(self) -> tuple[int | None, ...]:
        """The total and each window's limit, the longest window first."""
        return (self.tokens, self.tokens_per_month, self.tokens_per_day, self.tokens_per_hour)


LIMITS = tuple(BudgetSpec.model_fields)


def refuse_unknown_limits(names: Any) -> None:
    """Refuses a limit that does not exist.

    Raises:
        ValueError: one sentence that names the nearest known one.
    """
    for name in names:
        if name not in LIMITS:
            near = nearest(str(name), LIMITS)
            raise ValueError(
                f"unknown limit {name!r}; did you mean {near!r}? "
                f"There are {', '.join(LIMITS[:-1])} and {LIMITS[-1]}"
            )


def refuse_unknown_scope(scope: str) -> None:
    """Refuses a scope that does not exist.

    Raises:
        ValueError: one sentence that names the nearest known one.
    """
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r}; did you mean {nearest(scope, SCOPES)!r}?")


def require_role(name: str) -> str:
    """The standard role of this name, in any case.

    Raises:
        ValueError: there is none; one sentence that says what to do.
    """
    role = role_of(name)
    if role is None:
        raise ValueError(
            f"unknown role {name!r}; the roles are {', '.join(ROLES)}, "
            "and any other agent has its budget under `agent`"
        )
    return role


def parse_budgets(value: object) -> object:
    """Turns what may be given for ``budgets`` into tables by scope and id; roles as in ROLES.

    Raises:
        ValueError: it is text but not a JSON object, or names an unknown scope or role.
    """
    scopes = tables(
        value, 'takes tables by scope and id, such as {"tenant": {"*": {"tokens": 1000}}}'
    )
    for scope in scopes:
        refuse_unknown_scope(str(scope))
    roles = scopes.get("role")
    if isinstance(roles, dict):
        named = {name if name == EVERY else require_role(name): roles[name] for name in roles}
        if len(named) < len(roles):
            raise ValueError("two tables are of the same role; keep one of them")
        scopes = {**scopes, "role": named}
    return scopes
