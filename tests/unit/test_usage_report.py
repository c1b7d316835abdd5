"""What was spent, added up and in money."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from budgets.usage import report
from ledger.price import Price
from ledger.usage import Spent

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
ROWS = [
    Spent(MONDAY, "acme", "Coder", "small", 1_000, 2_000, 1),
    Spent(TUESDAY, "acme", "Coder", "large", 10, 20, 2),
    Spent(TUESDAY, "other", "Coder", "small", 100, 200, 3),
]
SMALL = Price(prompt=Decimal("0.1"), completion=Decimal("0.2"), currency="EUR")
LARGE = Price(prompt=Decimal(3), completion=Decimal(15), currency="USD")


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("tenant", {("acme",): 3_030, ("other",): 300}),
        ("agent", {("acme", "Coder"): 3_030, ("other", "Coder"): 300}),
        ("model", {("large",): 30, ("small",): 3_300}),
        ("day", {("2026-03-02",): 3_000, ("2026-03-03",): 330}),
    ],
)
def test_lines_add_up_what_is_asked_for(by: str, expected: dict[tuple[str, ...], int]) -> None:
    lines, total = report(ROWS, by, {})
    assert {line.name: line.tokens for line in lines} == expected
    assert (total.jobs, total.prompt_tokens, total.completion_tokens) == (6, 1_110, 2_220)


def test_money_is_exact_and_each_currency_stands_for_itself() -> None:
    lines, total = report(ROWS, "tenant", {"small": SMALL, "large": LARGE})
    assert lines[0].cost == {"EUR": Decimal("0.0005"), "USD": Decimal("0.00033")}
    assert lines[1].cost == {"EUR": Decimal("0.00005")}
    assert total.cost == {"EUR": Decimal("0.00055"), "USD": Decimal("0.00033")}
    assert total.unpriced == 0


def test_tokens_of_a_model_without_a_price_are_counted_apart() -> None:
    _, total = report(ROWS, "day", {"small": SMALL})
    assert (total.unpriced, total.cost) == (30, {"EUR": Decimal("0.00055")})


def test_nothing_spent_is_no_line() -> None:
    lines, total = report([], "agent", {})
    assert (lines, total.tokens, total.cost) == ([], 0, {})
