"""The budget levels of a request."""

from __future__ import annotations

from typing import Any

import pytest

from budgets.levels import levels_of
from ledger.messages import Request, parse_request
from ledger.settings import Settings, load_settings


def asked(**fields: Any) -> Request:
    return parse_request(**{"prompt": "x", "agent_id": "coder", "tenant": "acme", **fields})


def limits(**budgets: dict[str, int]) -> Settings:
    return load_settings(
        env={"APEX_CONFIG": ""},
        budgets={
            scope: {name: {"tokens": tokens} for name, tokens in table.items()}
            for scope, table in budgets.items()
        },
    )


def test_tenant_and_agent_are_always_levels() -> None:
    levels = levels_of(asked(), limits())
    assert [(level.scope, level.ids) for level in levels] == [
        ("tenant", ("acme",)),
        ("agent", ("acme", "coder")),
    ]
    assert [level.default_limit for level in levels] == [None, None]


def test_a_session_belongs_to_its_agent_and_an_episode_to_its_tenant() -> None:
    levels = levels_of(asked(session_id="s", episode_id="e"), limits())
    assert [(level.scope, level.ids) for level in levels[2:]] == [
        ("session", ("acme", "coder", "s")),
        ("episode", ("acme", "e")),
    ]


def test_default_limits_come_from_the_settings() -> None:
    settings = limits(
        tenant={"acme": 1}, agent={"*": 2}, session={"s": 3, "*": 9}, episode={"*": 4}
    )
    levels = levels_of(asked(session_id="s", episode_id="e"), settings)
    assert [level.default_limit for level in levels] == [1, 2, 3, 4]


def test_settings_change_limits_and_never_which_levels_there_are() -> None:
    request = asked(session_id="s", episode_id="e")
    strict = limits(tenant={"*": 0}, agent={"*": 0}, role={"*": 0}, session={"*": 0})
    assert [level.key for level in levels_of(request, strict)] == [
        level.key for level in levels_of(request, limits())
    ]


@pytest.mark.parametrize(
    ("agent", "role", "expected"),
    [
        ({}, {"Coder": 5}, 5),
        ({"coder": 3}, {"Coder": 5}, 3),
        ({"coder": 9}, {"CODER": 5}, 5),
        ({}, {"*": 7}, 7),
        ({}, {"Planner": 5}, None),
    ],
)
def test_an_agent_has_the_lower_one_of_its_own_limit_and_its_roles(
    agent: dict[str, int], role: dict[str, int], expected: int | None
) -> None:
    assert levels_of(asked(), limits(agent=agent, role=role))[1].default_limit == expected


def test_ids_with_separators_never_share_a_level() -> None:
    one = levels_of(asked(tenant="a:b", agent_id="c"), limits())[1]
    other = levels_of(asked(tenant="a", agent_id="b:c"), limits())[1]
    assert one.key != other.key
