"""Limits that settings give."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.settings import BudgetSpec, load_settings
from tests.support.configured import complaint, in_file


def test_a_limit_is_its_own_or_that_of_every_other(tmp_path: Path) -> None:
    settings = load_settings(
        env=in_file(tmp_path, '[budgets.tenant]\nacme.tokens = 5\n"*".tokens_per_day = 7\n')
    )
    assert settings.budget("tenant", "acme") == BudgetSpec(tokens=5)
    assert settings.budget("tenant", "other") == BudgetSpec(tokens_per_day=7)
    assert settings.budget("session", "s") is None


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "[budgets.tenant.a]\ntokens_per_week = 5",
            "unknown limit 'tokens_per_week'; did you mean 'tokens_per_day'? There are tokens, ",
        ),
        ("[budgets.tenat.a]\ntokens = 5", "unknown scope 'tenat'; did you mean 'tenant'?"),
        ("[budgets.tenant.a]\ntoken = 5", "unknown limit 'token'; did you mean 'tokens'?"),
        ("[budgets.tenant.a]", "tenant.a of budgets in "),
        ("[budgets.tenant.a]", "it gives no limit, such as `tokens_per_day = 100_000`."),
        ("[budgets.tenant.a]\ntokens = 0", "must be greater than or equal to 1, not '0'"),
        ("[budgets.tenant.a]\ntokens = -1", "must be greater than or equal to 1, not '-1'"),
        ("[budgets.tenant.a]\ntokens_per_hour = nan", "must be a valid integer, not 'nan'"),
        ("[budgets.tenant.a]\ntokens_per_hour = 1.5", "must be a valid integer, not '1.5'"),
        ("[budgets.tenant.a]\ntokens = 9007199254740992", "less than or equal to 9007199254740991"),
        ("[budgets.tenant.a]\ntokens = true", "tenant.a.tokens of budgets in"),
        ("[budgets.role.Boss]\ntokens = 5", "unknown role 'Boss'; the roles are Planner, Coder, "),
        ("[budgets.role]\nCoder.tokens = 5\ncoder.tokens = 6", "two tables are of the same role"),
        ("budgets = 5", "takes tables by scope and id"),
    ],
)
def test_a_budget_that_cannot_be_held_is_refused(tmp_path: Path, table: str, expected: str) -> None:
    assert expected in complaint(in_file(tmp_path, table))
