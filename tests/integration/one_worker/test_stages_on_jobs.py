"""A stage's allowance is a request's max_tokens, and what was really made is recorded."""

from __future__ import annotations

import pytest

from producer import BudgetExceeded, LLMClient, TokenBudgetManager


def test_an_agent_works_through_its_stages_within_its_base(client: LLMClient) -> None:
    # Given an agent whose answers are as long as they may be
    manager = TokenBudgetManager(base_budget=300, min_budget=25, max_budget=75, strict_mode=True)
    made = []
    # When
    for stage in range(1, 7):
        allowance = manager.allocate("scout", "research", stage)
        result = client.complete(
            "[[mock tokens=999]]", agent_id="scout", max_tokens=allowance.max_tokens
        )
        made.append(result.usage.completion_tokens)
        assert manager.record("scout", made[-1], stage).budget_low
    # Then
    assert made == [75, 75, 56, 56, 37, 1]
    assert manager.get_system_status()["agents"]["scout"]["tokens_used"] == sum(made) == 300
    with pytest.raises(BudgetExceeded):
        manager.allocate("scout", "research", 7)


def test_what_an_answer_did_not_use_is_left_for_the_stage(client: LLMClient) -> None:
    manager = TokenBudgetManager()
    allowance = manager.allocate("critic-1", "critic", 1)
    result = client.complete(
        "[[mock tokens=30]]", agent_id="critic-1", max_tokens=allowance.max_tokens
    )
    said = manager.record("critic-1", result.usage.completion_tokens, 1)
    assert (said.used, said.max_tokens, said.budget_low) == (30, 50, False)
