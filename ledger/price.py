"""What the settings say of a model's price."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ledger.environment import nearest
from ledger.tables import tables

PER_TOKENS = 1_000_000

Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """The table ``[prices."<model>"]``: money for a million tokens of prompts and of answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Amount
    completion: Amount
    currency: str = ""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, table: object) -> object:
        for key in table if isinstance(table, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(
                    f"unknown key {key!r}; did you mean {nearest(str(key), cls.model_fields)!r}?"
                )
        return table

    @field_validator("prompt", "completion", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("takes a number, not true or false")
        return str(value) if isinstance(value, float) else value  # 0.1 means 0.1

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """The price of so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / PER_TOKENS


def parse_prices(value: object) -> object:
    """Turns what may be given for ``prices`` into tables by model.

    Raises:
        ValueError: it is text but not a JSON object.
    """
    return tables(value, 'takes tables by model, such as {"m": {"prompt": 1, "completion": 2}}')
