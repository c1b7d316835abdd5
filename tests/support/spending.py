"""Jobs of one agent that spend a budget, and settings that give it one."""

from __future__ import annotations

from typing import Any

from budgets import hold_for
from ledger.messages import parse_request
from ledger.settings import Settings, load_settings
from producer import BudgetExceeded, LLMClient


def asked(**changes: Any) -> dict[str, Any]:
    """A request of agent a; each of them holds as many tokens as another."""
    return {"prompt": "hello", "agent_id": "a", "max_tokens": 16, **changes}


HOLD = hold_for(parse_request(**asked()))


def a_day(redis_url: str, tokens: int, **more: Any) -> Settings:
    """Settings that give agent a so many tokens a day."""
    return load_settings(
        env={}, redis_url=redis_url, budgets={"agent": {"a": {"tokens_per_day": tokens}}}, **more
    )


def submitted(client: LLMClient, count: int) -> list[BudgetExceeded]:
    """Submits so many jobs; the refusals."""
    refused = []
    for _ in range(count):
        try:
            client.submit(**asked())
        except BudgetExceeded as denied:
            refused.append(denied)
    return refused
