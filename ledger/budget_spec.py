"""What the settings say of one budget: a total of tokens."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ledger.environment import nearest

SCOPES = ("tenant", "agent", "role", "session", "episode")
EVERY = "*"


class BudgetSpec(BaseModel):
    """The table ``[budgets.<scope>.<id>]``; ``tokens`` is a total, prompts and completions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int = Field(ge=0, lt=2**53, strict=True)  # above, Lua's numbers are no longer exact

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, table: object) -> object:
        if isinstance(table, dict):
            for key in table:
                if str(key).startswith("tokens_per_"):
                    raise ValueError(
                        f"{key}: windows are not supported yet, only `tokens`, a total"
                    )
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}; did you mean 'tokens'?")
        return table


def parse_budgets(value: object) -> object:
    """Turns what may be given for ``budgets`` into tables by scope and id.

    Raises:
        ValueError: it is text but not a JSON object, or names an unknown scope.
    """
    tables: Any = value
    if isinstance(value, str):
        try:
            tables = json.loads(value)
        except ValueError:
            tables = None
    if not isinstance(tables, dict):
        raise ValueError(
            'takes tables by scope and id, such as {"tenant": {"*": {"tokens": 1000}}}'
        )
    for scope in tables:
        if scope not in SCOPES:
            raise ValueError(
                f"unknown scope {scope!r}; did you mean {nearest(str(scope), SCOPES)!r}?"
            )
    return tables
