"""Reports of what was spent: added up by tenant, agent, model or day, and in money."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ledger.price import Price
from ledger.usage import Spent

# What the lines of each kind of report are named after.
BY: dict[str, Callable[[Spent], tuple[str, ...]]] = {
    "tenant": lambda spent: (spent.tenant,),
    "agent": lambda spent: (spent.tenant, spent.agent),
    "model": lambda spent: (spent.model,),
    "day": lambda spent: (spent.day.isoformat(),),
}


@dataclass(slots=True)
class Line:
    """One line of a report.

    ``cost``: money by currency, of models that have a price; ``unpriced``: tokens of the others.
    """

    name: tuple[str, ...]
    jobs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: dict[str, Decimal] = field(default_factory=dict)
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """Prompts and completions together."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, spent: Spent, price: Price | None) -> None:
        """Adds what was spent at this price."""
        self.jobs += spent.jobs
        self.prompt_tokens += spent.prompt_tokens
        self.completion_tokens += spent.completion_tokens
        if price is None:
            self.unpriced += spent.prompt_tokens + spent.completion_tokens
            return
        cost = price.of(spent.prompt_tokens, spent.completion_tokens)
        self.cost[price.currency] = self.cost.get(price.currency, Decimal(0)) + cost


def report(rows: Iterable[Spent], by: str, prices: Mapping[str, Price]) -> tuple[list[Line], Line]:
    """The lines of a report, sorted by name, and their sum.

    Args:
        rows: what was spent.
        by: a key of :data:`BY`.
        prices: by the model's name.
    """
    lines: dict[tuple[str, ...], Line] = {}
    total = Line(("total",))
    for spent in rows:
        name = BY[by](spent)
        for line in (lines.setdefault(name, Line(name)), total):
            line.add(spent, prices.get(spent.model))
    return [lines[name] for name in sorted(lines)], total
