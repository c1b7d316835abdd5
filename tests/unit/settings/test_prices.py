"""What a model's tokens cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from ledger.price import Price
from ledger.settings import load_settings
from tests.support.configured import complaint, in_file


def test_a_price_is_what_was_written_and_not_the_nearest_float(tmp_path: Path) -> None:
    table = '[prices."org/model"]\nprompt = 0.1\ncompletion = "0.30"\ncurrency = "EUR"'
    prices = load_settings(env=in_file(tmp_path, table)).prices
    assert prices == {
        "org/model": Price(prompt=Decimal("0.1"), completion=Decimal("0.3"), currency="EUR")
    }


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("[prices.m]\nprompt = -1\ncompletion = 1", "must be greater than or equal to 0, not '-1'"),
        ("[prices.m]\nprompt = nan\ncompletion = 1", "must be a finite number, not 'nan'"),
        ("[prices.m]\nprompt = 1", "m.completion of prices in"),
        ("[prices.m]\nprompts = 1", "unknown key 'prompts'; did you mean 'prompt'?"),
        ("[prices.m]\nprompt = 1\ncompletion = true", "m.completion of prices in"),
        ("prices = 5", "takes tables by model"),
    ],
)
def test_a_price_that_cannot_be_used_is_refused(tmp_path: Path, table: str, expected: str) -> None:
    assert expected in complaint(in_file(tmp_path, table))
