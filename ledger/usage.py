"""What was spent: tokens and jobs by UTC day, tenant, agent and model. Noted when a job ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from ledger import keys
from ledger.scripts import Call
from ledger.windows import DAY_MS

_EPOCH = date(1970, 1, 1)
_SEPARATOR = "\x1f"  # in no id; see _usage.lua


@dataclass(frozen=True, slots=True)
class Spent:
    """What one agent of a tenant spent on a day with a model."""

    day: date
    tenant: str
    agent: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    jobs: int


def day_number(day: date) -> int:
    """Days since the epoch, as the keys of usage have them."""
    return (day - _EPOCH).days


def read_tenants() -> Call[tuple[list[str], int]]:
    """Every tenant that spent something while usage was kept, sorted, and the day's number."""

    def read(reply: list[Any]) -> tuple[list[str], int]:
        tenants, now_ms = reply
        return sorted(tenants), now_ms // DAY_MS

    return Call("read_tenants", [keys.TENANTS], [], read)


def read_usage(tenant: str, days: Iterable[int]) -> Call[list[Spent]]:
    """What a tenant spent on each of these days, in their order."""
    numbers = list(days)

    def read(reply: list[list[str]]) -> list[Spent]:
        return [
            spent
            for number, flat in zip(numbers, reply, strict=True)
            for spent in _of_day(_EPOCH + timedelta(days=number), tenant, flat)
        ]

    return Call("read_usage", [keys.usage(number, tenant) for number in numbers], [], read)


def _of_day(day: date, tenant: str, flat: list[str]) -> list[Spent]:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for field, count in zip(flat[::2], flat[1::2], strict=True):
        what, agent, model = field.split(_SEPARATOR, 2)
        counts.setdefault((agent, model), {})[what] = int(count)
    return [
        Spent(day, tenant, agent, model, found["prompt"], found["completion"], found["jobs"])
        for (agent, model), found in sorted(counts.items())
    ]
