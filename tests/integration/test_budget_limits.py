"""Limits that are set by call, and how long they are kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from budgets import level_named
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from producer import AsyncLLMClient, BudgetExceeded, InvalidRequest, LLMClient
from tests.support.registering import register
from tests.support.spending import HOLD, a_day, asked, submitted


def test_a_limit_that_is_set_beats_the_settings_until_it_is_taken_back(
    redis_url: str, ledger: Ledger
) -> None:
    register(ledger)
    with LLMClient(a_day(redis_url, HOLD)) as client:
        # When
        account = client.set_budget("agent", "a", tokens_per_day=3 * HOLD, tokens=2 * HOLD)
        # Then
        assert (account.limit, account.was_set) == (2 * HOLD, True)
        assert (account.windows[0].limit, account.windows[0].was_set) == (3 * HOLD, True)
        assert [denied.window for denied in submitted(client, 3)] == [None]

        # When
        account = client.reset_budget("agent", "a")
        # Then
        assert (account.limit, account.was_set, account.held) == (None, False, 2 * HOLD)
        assert (account.windows[0].limit, account.windows[0].was_set) == (HOLD, False)
        assert [denied.window for denied in submitted(client, 1)] == ["day"]


def test_sessions_and_episodes_of_a_tenant_have_limits_by_call(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    client.set_budget("session", "s", agent_id="a", tokens=HOLD)
    client.set_budget("episode", "e", tokens_per_month=HOLD)

    client.submit(**asked(session_id="s", episode_id="e"))

    with pytest.raises(BudgetExceeded, match="session:s"):
        client.submit(**asked(session_id="s"))
    with pytest.raises(BudgetExceeded, match=r"episode:e has .* tokens a month"):
        client.submit(**asked(episode_id="e"))
    client.submit(**asked(session_id="s", agent_id="b"))


def test_a_limit_that_is_set_counts_for_jobs_of_every_process(
    client: LLMClient, redis_url: str, ledger: Ledger
) -> None:
    register(ledger)
    client.set_budget("tenant", "default", tokens_per_hour=HOLD)
    with LLMClient(load_settings(env={}, redis_url=redis_url)) as other:
        assert [denied.window for denied in submitted(other, 2)] == ["hour"]


def test_the_asyncio_client_sets_shows_and_takes_back(settings: Settings) -> None:
    async def steps() -> list[Any]:
        async with AsyncLLMClient(settings) as client:
            return [
                (await client.set_budget("tenant", "default", tokens=7)).limit,
                (await client.show_budget("tenant", "default")).limit,
                (await client.reset_budget("tenant", "default")).limit,
                await client.usage(),
            ]

    assert asyncio.run(steps()) == [7, 7, None, []]


BAD: list[tuple[tuple[str, str], dict[str, Any], str]] = [
    (("agent", "a"), {"tokens": 0}, "tokens: Input should be greater than or equal to 1"),
    (("agent", "a"), {"tokens": -5}, "tokens: Input should be greater than or equal to 1"),
    (("agent", "a"), {"tokens": float("nan")}, "tokens: Input should be a valid integer"),
    (("agent", "a"), {"tokens": 1.5}, "tokens: Input should be a valid integer"),
    (("agent", "a"), {"tokens": True}, "tokens: Input should be a valid integer"),
    (("agent", "a"), {"tokens": 2**53}, "tokens: Input should be less than or equal to"),
    (("agent", "a"), {}, "it gives no limit, such as"),
    (("agent", "a"), {"tokens_per_week": 5}, "did you mean 'tokens_per_day'?"),
    (("agnet", "a"), {"tokens": 5}, "unknown scope 'agnet'; did you mean 'agent'?"),
    (("role", "Boss"), {"tokens": 5}, "unknown role 'Boss'; the roles are Planner, Coder, "),
    (("session", "s"), {"tokens": 5}, "a session belongs to an agent: say which one by agent_id."),
    (("agent", ""), {"tokens": 5}, "id: "),
    (("agent", "a"), {"tokens": 5, "agent_id": "b"}, "agent_id is for sessions"),
]


@pytest.mark.parametrize(("names", "given", "sentence"), BAD)
def test_a_limit_that_makes_no_sense_is_refused_and_nothing_is_written(
    client: LLMClient,
    ledger: Ledger,
    names: tuple[str, str],
    given: dict[str, Any],
    sentence: str,
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.set_budget(*names, **given)

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert ledger.redis.dbsize() == 0


def test_an_idle_sessions_level_goes_and_one_that_holds_tokens_stays(
    redis_url: str, ledger: Ledger
) -> None:
    register(ledger)
    settings = load_settings(env={}, redis_url=redis_url, session_retention_s=60)
    level = level_named("default", "session", "s", "a", settings)
    with LLMClient(settings) as client:
        client.set_budget("session", "s", agent_id="a", tokens=1000)
        assert 0 < ledger.redis.pttl(level.key) <= 60_000

        job = client.submit(**asked(session_id="s"))
        assert ledger.redis.pttl(level.key) == -1

        job.cancel()
        assert 0 < ledger.redis.pttl(level.key) <= 60_000


def test_an_episodes_level_outlives_the_latest_moment_that_it_may_end(
    redis_url: str, ledger: Ledger
) -> None:
    register(ledger)
    settings = load_settings(env={}, redis_url=redis_url, session_retention_s=1)
    level = level_named("default", "episode", "e", None, settings)
    with LLMClient(settings) as client, client.episode("e", token_budget=1000) as episode:
        episode.submit(**asked()).cancel()
        assert ledger.redis.pttl(level.key) > 3_000_000
