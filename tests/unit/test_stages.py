"""Stage budgets of the Felix guide: what each stage may spend, and what is recorded."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets import LOW_AT, TokenBudgetManager
from budgets.stages import allowance
from ledger.errors import BudgetExceeded, InvalidRequest
from tests.support.sentences import is_one_sentence


@pytest.mark.parametrize(
    ("agent_type", "base", "stages"),
    [
        ("research", 400, [150, 150, 112, 112, 75, 75]),
        ("analysis", 350, [120, 120, 90, 90, 60, 60]),
        ("synthesis", 300, [100, 100, 75, 75, 50, 50]),
        ("critic", 250, [80, 80, 60, 60, 40, 40]),
    ],
)
def test_each_type_has_its_base_and_later_stages_get_less(
    agent_type: str, base: int, stages: list[int]
) -> None:
    manager = TokenBudgetManager()
    limits = [manager.allocate("a", agent_type, stage).limit for stage in range(1, 7)]
    assert limits == stages
    assert manager.get_system_status()["agents"]["a"]["base_budget"] == base


def test_a_stage_gets_no_more_than_is_left_of_the_base() -> None:
    manager = TokenBudgetManager(strict_mode=True)
    manager.allocate("a", "critic", 1)
    manager.record("a", 230, 1)
    assert manager.allocate("a", "critic", 2).max_tokens == 20


def test_a_late_stage_gets_the_minimum_while_it_is_left() -> None:
    manager = TokenBudgetManager(base_budget=300, min_budget=50, max_budget=75, strict_mode=True)
    assert manager.allocate("a", "research", 5).max_tokens == 50  # and not 37


def test_the_requests_of_a_stage_share_its_limit() -> None:
    manager = TokenBudgetManager(strict_mode=True)
    manager.allocate("a", "research", 1)
    manager.record("a", 100, 1)
    again = manager.allocate("a", "research", 1)
    assert (again.limit, again.used, again.max_tokens) == (150, 100, 50)


def test_in_strict_mode_nothing_is_allowed_beyond_the_base() -> None:
    manager = TokenBudgetManager(300, 25, 75, strict_mode=True)
    for stage in range(1, 7):
        manager.record("a", manager.allocate("a", "critic", stage).max_tokens, stage)
    assert manager.get_system_status()["tokens_left"] == 0  # 75 + 75 + 56 + 56 + 37 + 1
    with pytest.raises(BudgetExceeded) as caught:
        manager.allocate("a", "critic", 7)
    assert is_one_sentence(caught.value)
    assert (caught.value.scope, caught.value.limit) == ("stage:a:7", 0)


def test_otherwise_the_minimum_goes_on_and_the_status_shows_it() -> None:
    manager = TokenBudgetManager(strict_mode=False)
    manager.allocate("a", "critic", 1)
    manager.record("a", 260, 1)
    assert manager.allocate("a", "critic", 2).max_tokens == 25
    assert manager.get_system_status()["agents"]["a"]["tokens_over"] == 10


def test_a_stage_is_low_at_80_percent() -> None:
    manager = TokenBudgetManager()
    limit = manager.allocate("a", "synthesis", 1).limit
    assert not manager.record("a", int(LOW_AT * limit) - 1, 1).budget_low
    assert manager.record("a", 1, 1).budget_low
    assert manager.get_system_status()["agents"]["a"]["stages"][1]["budget_low"]


def test_the_status_has_every_agent_and_stage() -> None:
    manager = TokenBudgetManager(strict_mode=True)
    manager.allocate("r", "Research", 1)
    manager.record("r", 30, 1)
    manager.allocate("c", "critic", 3)
    assert manager.get_system_status() == {
        "strict_mode": True,
        "tokens_used": 30,
        "tokens_left": 620,
        "agents": {
            "r": {
                "type": "research",
                "base_budget": 400,
                "tokens_used": 30,
                "tokens_left": 370,
                "tokens_over": 0,
                "stages": {1: {"limit": 150, "used": 30, "budget_low": False}},
            },
            "c": {
                "type": "critic",
                "base_budget": 250,
                "tokens_used": 0,
                "tokens_left": 250,
                "tokens_over": 0,
                "stages": {3: {"limit": 60, "used": 0, "budget_low": False}},
            },
        },
    }


def test_an_agent_that_is_reset_begins_anew() -> None:
    manager = TokenBudgetManager(strict_mode=True)
    manager.allocate("a", "critic", 1)
    manager.record("a", 250, 1)
    manager.reset("a")
    assert manager.allocate("a", "research", 1).max_tokens == 150


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), 1.5, True, "100"])
@pytest.mark.parametrize("name", ["base_budget", "min_budget", "max_budget"])
def test_a_budget_that_is_no_number_of_tokens_is_refused(name: str, bad: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}: ") as caught:
        TokenBudgetManager(**{name: bad})
    assert is_one_sentence(caught.value)


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ({"base_budget": 50, "max_budget": 75}, "max_budget: 75 for one stage is more than"),
        ({"min_budget": 81}, "min_budget: 81 is more than the 80 tokens"),
        ({"base_budget": 20}, "min_budget: 25 is more than the 20 tokens"),
    ],
)
def test_budgets_that_contradict_one_another_are_refused(
    budgets: dict[str, int], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        TokenBudgetManager(**budgets)
    assert is_one_sentence(caught.value)


def test_an_unknown_type_stage_or_use_is_refused() -> None:
    manager = TokenBudgetManager()
    with pytest.raises(InvalidRequest, match="did you mean 'critic'"):
        manager.allocate("a", "critik", 1)
    for stage in (0, -1, 1.0, True):
        with pytest.raises(InvalidRequest, match="stage: it takes a whole number"):
            manager.allocate("a", "critic", stage)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="was never allocated"):
        manager.record("a", 5, 1)
    manager.allocate("a", "critic", 1)
    for tokens in (-1, float("nan"), True):
        with pytest.raises(InvalidRequest, match="tokens: it takes"):
            manager.record("a", tokens, 1)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="is of type critic, not research"):
        manager.allocate("a", "research", 1)


def test_threads_may_share_it() -> None:
    manager = TokenBudgetManager()
    manager.allocate("a", "research", 1)

    def record() -> None:
        for _ in range(200):
            manager.record("a", 1, 1)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manager.get_system_status()["tokens_used"] == 800


tokens = st.integers(1, 10_000)


@given(stage=st.integers(1, 50), per_stage=tokens, left=st.integers(0, 10_000), least=tokens)
def test_an_allowance_is_never_above_what_is_left_nor_below_the_minimum_while_that_is_left(
    stage: int, per_stage: int, left: int, least: int
) -> None:
    found = allowance(stage, per_stage=per_stage, left=left, min_budget=least)
    assert 0 <= found <= left
    assert found >= min(left, least)
    assert found <= max(per_stage, least)


@given(st.lists(st.tuples(st.integers(1, 8), st.floats(0, 1)), max_size=30))
def test_in_strict_mode_an_agent_that_keeps_its_allowances_never_exceeds_its_base(
    steps: list[tuple[int, float]],
) -> None:
    manager = TokenBudgetManager(strict_mode=True)
    for stage, part in steps:
        try:
            most = manager.allocate("a", "research", stage).max_tokens
        except BudgetExceeded:
            continue
        manager.record("a", int(part * most), stage)
    assert manager.get_system_status()["tokens_used"] <= 400
