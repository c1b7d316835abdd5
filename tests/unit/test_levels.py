"""The budget levels of a request."""

from __future__ import annotations

from typing import Any

import pytest

from budgets.levels import levels_of
from ledger.budget_spec import BudgetSpec
from ledger.levels import Level
from ledger.messages import Request, parse_request
from ledger.settings import Settings, load_settings

PER_DAY = [BudgetSpec(tokens_per_day=tokens) for tokens in range(1, 6)]


def asked(**fields: Any) -> Request:
    return parse_request(**{"prompt": "x", "agent_id": "coder", "tenant": "acme", **fields})


def limits(**budgets: dict[str, int]) -> Settings:
    return load_settings(
        env={"APEX_CONFIG": ""},
        budgets={
            scope: {name: {"tokens_per_day": tokens} for name, tokens in table.items()}
            for scope, table in budgets.items()
        },
    )


def test_tenant_and_agent_are_always_levels() -> None:
    levels = levels_of(asked(agent_id="a"), limits())
    assert [(level.scope, level.ids) for level in levels] == [
        ("tenant", ("acme",)),
        ("agent", ("acme", "a")),
    ]
    assert [level.default for level in levels] == [None, None]


def test_a_session_belongs_to_its_agent_and_an_episode_to_its_tenant() -> None:
    levels = levels_of(asked(session_id="s", episode_id="e"), limits())
    assert [(level.scope, level.ids) for level in levels[3:]] == [
        ("session", ("acme", "coder", "s")),
        ("episode", ("acme", "e")),
    ]


def test_default_limits_come_from_the_settings() -> None:
    settings = limits(
        tenant={"acme": 1}, agent={"*": 2}, session={"s": 4, "*": 9}, episode={"*": 5}
    )
    levels = levels_of(asked(agent_id="a", session_id="s", episode_id="e"), settings)
    assert [level.default for level in levels] == [PER_DAY[0], PER_DAY[1], *PER_DAY[3:]]


def test_settings_change_limits_and_never_which_levels_there_are() -> None:
    request = asked(session_id="s", episode_id="e")
    strict = limits(tenant={"*": 1}, agent={"*": 1}, role={"*": 1}, session={"*": 1})
    assert [level.key for level in levels_of(request, strict)] == [
        level.key for level in levels_of(request, limits())
    ]


def test_an_agent_with_the_name_of_a_role_in_any_case_has_the_roles_level_too() -> None:
    settings = limits(role={"CODER": 3})
    for agent in ("Coder", "coder", "CODER"):
        level = levels_of(asked(agent_id=agent), settings)[2]
        assert (level.scope, level.ids, level.default) == ("role", ("acme", "Coder"), PER_DAY[2])
    assert len(levels_of(asked(agent_id="Coder-2"), settings)) == 2


def test_every_role_that_has_no_table_of_its_own_has_that_of_all() -> None:
    settings = limits(role={"*": 1, "Planner": 2})
    assert [
        levels_of(asked(agent_id=one), settings)[2].default for one in ("critic", "planner")
    ] == (PER_DAY[:2])


def test_sessions_and_episodes_are_kept_for_a_while_and_the_others_stay() -> None:
    levels = levels_of(
        asked(session_id="s", episode_id="e"), load_settings(env={}, session_retention_s=5)
    )
    assert [level.keep_s for level in levels] == [None, None, None, 5, 5]
    assert [level.keep_arg for level in levels[2:4]] == ["", "5000"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, ""),
        (BudgetSpec(tokens=7), "7"),
        (BudgetSpec(tokens_per_day=5), "::5:"),
        (
            BudgetSpec(tokens=1, tokens_per_month=2, tokens_per_day=3, tokens_per_hour=4),
            "1:2:3:4",
        ),
    ],
)
def test_default_limits_travel_as_one_short_text(spec: BudgetSpec | None, expected: str) -> None:
    assert Level("tenant", ("t",), spec).limit_arg == expected


def test_ids_with_separators_never_share_a_level() -> None:
    one = levels_of(asked(tenant="a:b", agent_id="c"), limits())[1]
    other = levels_of(asked(tenant="a", agent_id="b:c"), limits())[1]
    assert one.key != other.key
