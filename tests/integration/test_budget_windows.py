"""Limits by hour, day and month, limits that are set by call, and what is noted as usage."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as run_with
from hypothesis import strategies as st

from budgets import hold_for, level_named
from ledger import keys, windows
from ledger.accounts import read_accounts
from ledger.levels import Level
from ledger.messages import parse_request
from ledger.redis_client import Ledger
from ledger.scripts import load
from ledger.settings import Settings, load_settings
from producer import AsyncLLMClient, BudgetExceeded, InvalidRequest, LLMClient
from tests.conftest import StartWorkers
from tests.support import attempts
from tests.support.hands import Hands
from tests.support.registering import register
from tests.support.turns import turn_window


def asked(**changes: Any) -> dict[str, Any]:
    return {"prompt": "hello", "agent_id": "a", "max_tokens": 16, **changes}


HOLD = hold_for(parse_request(**asked()))


def a_day(redis_url: str, tokens: int, **more: Any) -> Settings:
    return load_settings(
        env={}, redis_url=redis_url, budgets={"agent": {"a": {"tokens_per_day": tokens}}}, **more
    )


def agent_level(settings: Settings) -> Level:
    return level_named("default", "agent", "a", None, settings)


def submitted(client: LLMClient, count: int) -> list[BudgetExceeded]:
    """Submits so many jobs; the refusals."""
    refused = []
    for _ in range(count):
        try:
            client.submit(**asked())
        except BudgetExceeded as denied:
            refused.append(denied)
    return refused


def test_20_jobs_with_room_for_10_of_them_and_the_rest_after_the_window_has_turned(
    client: LLMClient, ledger: Ledger, redis_url: str, start_workers: StartWorkers
) -> None:
    # Given a worker, and a day's budget for ten jobs: nine that were charged and one that is held
    start_workers("inst0")
    cost = client.complete(**asked(agent_id="another")).usage.total_tokens
    settings = a_day(redis_url, 9 * cost + HOLD)
    wanted = [asked(prompt="hello", metadata={"number": str(number)}) for number in range(20)]

    def run(requests: list[dict[str, Any]]) -> tuple[int, list[tuple[Any, BudgetExceeded]]]:
        ran, refused = 0, []
        for request in requests:
            try:
                ran += own.complete(**request).usage.total_tokens == cost
            except BudgetExceeded as denied:
                refused.append((request, denied))
        return ran, refused

    with LLMClient(settings) as own:
        # When
        ran, refused = run(wanted)

        # Then
        assert (ran, len(refused)) == (10, 10)
        assert [request for request, _ in refused] == wanted[10:]
        denied = refused[-1][1]
        assert (denied.scope, denied.window, denied.used) == ("agent:a", "day", 10 * cost)
        assert own.show_budget("agent", "a").windows[0].used == 10 * cost

        # When
        turn_window(ledger.redis, agent_level(settings), "day")

        # Then
        assert run([request for request, _ in refused]) == (10, [])
        account = own.show_budget("agent", "a")
        assert (account.used, account.held, account.windows[0].used) == (20 * cost, 0, 10 * cost)


def test_a_denial_says_when_the_window_opens_anew(redis_url: str, ledger: Ledger) -> None:
    register(ledger)
    with LLMClient(a_day(redis_url, HOLD)) as client:
        (denied,) = submitted(client, 2)

    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert (denied.window, denied.used, denied.held, denied.requested) == ("day", 0, HOLD, HOLD)
    assert denied.resets_at == f"{tomorrow}T00:00:00+00:00"
    assert 0 < denied.retry_after_s <= 86_400
    assert str(denied).startswith(f"agent:a has used 0 and holds {HOLD} of {HOLD} tokens a day; ")
    assert "The window opens anew at 00:00 UTC (in " in str(denied)


def test_what_waits_is_held_in_the_next_window_too(redis_url: str, ledger: Ledger) -> None:
    # Given a job that waits, and one that has ended
    register(ledger)
    settings = a_day(redis_url, 2 * HOLD)
    with LLMClient(settings) as client:
        waiting, other = client.submit(**asked()), client.submit(**asked())
        assert other.cancel() == "cancelled"

        # When
        turn_window(ledger.redis, agent_level(settings), "day")

        # Then one more fits, and not two
        assert len(submitted(client, 2)) == 1
        assert waiting.status().state == "queued"


def test_a_job_is_charged_in_the_window_in_which_it_ends(redis_url: str, ledger: Ledger) -> None:
    # Given a job that runs over the end of the day
    register(ledger)
    settings = a_day(redis_url, 10 * HOLD)
    level = agent_level(settings)
    with LLMClient(settings) as client:
        client.submit(**asked())
        client.submit(**asked()).cancel()  # so that something is noted for the day
        hands = Hands(ledger)
        claim = hands.take()
        ledger.run(attempts.emit(claim, tokens=5))
        turn_window(ledger.redis, level, "day")

        # When
        hands.finish(claim, [level])

        # Then
        (account,) = ledger.run(read_accounts([level]))
        assert (account.windows[0].used, account.held) == (6, 0)


def test_hour_and_month_count_beside_the_day(redis_url: str, ledger: Ledger) -> None:
    register(ledger)
    table = {"tokens_per_hour": HOLD, "tokens_per_day": 2 * HOLD, "tokens_per_month": 3 * HOLD}
    settings = load_settings(env={}, redis_url=redis_url, budgets={"tenant": {"*": table}})
    with LLMClient(settings) as client:
        assert [denied.window for denied in submitted(client, 2)] == ["hour"]
        client.set_budget("tenant", "default", tokens_per_hour=9 * HOLD)
        assert [denied.window for denied in submitted(client, 2)] == ["day"]
        client.set_budget("tenant", "default", tokens_per_day=9 * HOLD)
        assert [denied.window for denied in submitted(client, 2)] == ["month"]


def test_of_several_windows_without_room_the_longest_says_when_to_come_again(
    redis_url: str, ledger: Ledger
) -> None:
    register(ledger)
    table = {"tokens_per_hour": HOLD, "tokens_per_day": HOLD, "tokens_per_month": HOLD}
    settings = load_settings(env={}, redis_url=redis_url, budgets={"tenant": {"*": table}})
    with LLMClient(settings) as client:
        assert [denied.window for denied in submitted(client, 2)] == ["month"]


def test_agents_with_the_name_of_a_role_share_its_budget(redis_url: str, ledger: Ledger) -> None:
    register(ledger)
    settings = load_settings(
        env={}, redis_url=redis_url, budgets={"role": {"coder": {"tokens_per_day": 2 * HOLD}}}
    )
    with LLMClient(settings) as client:
        for agent in ("Coder", "CODER"):
            client.submit(**asked(agent_id=agent))
        with pytest.raises(BudgetExceeded, match="role:Coder has used 0"):
            client.submit(**asked(agent_id="coder"))


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


def test_usage_is_noted_by_day_agent_and_model(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    results = [client.complete(**asked(agent_id=agent)) for agent in ("a", "a", "b|c\u00e9")]

    rows = client.usage()

    assert [(one.tenant, one.agent, one.model, one.jobs) for one in rows] == [
        ("default", "a", "mock", 2),
        ("default", "b|c\u00e9", "mock", 1),
    ]
    assert rows[0].prompt_tokens == sum(one.usage.prompt_tokens for one in results[:2])
    assert rows[1].completion_tokens == results[2].usage.completion_tokens
    today = datetime.now(UTC).date()
    assert {one.day for one in rows} <= {today, today - timedelta(days=1)}
    assert client.usage(since=today + timedelta(days=1)) == []


def test_what_a_job_made_before_it_made_way_is_noted_when_it_is_cancelled(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    job = client.submit(**asked())
    client.submit(**asked(agent_id="never ran")).cancel()
    hands = Hands(ledger)
    claim = hands.take()
    ledger.run(attempts.emit(claim, tokens=5))
    hands.give_back(claim)

    assert job.cancel() == "cancelled"
    assert job.cancel() == "cancelled"

    (row,) = client.usage()
    assert (row.agent, row.model, row.prompt_tokens, row.completion_tokens) == ("a", "mock", 1, 5)
    assert row.jobs == 1
    record = job.outcome()
    assert (record.text, record.usage.completion_tokens) == ("x", 5)


def test_usage_goes_after_its_time_and_so_do_tenants(redis_url: str, ledger: Ledger) -> None:
    register(ledger)
    day = 86_400
    settings = load_settings(env={}, redis_url=redis_url, usage_retention_s=3 * day)
    ledger.redis.zadd(keys.TENANTS, {"long gone": 1})
    with LLMClient(settings) as client:
        job = client.submit(**asked())
        hands = Hands(ledger)
        claim = hands.take()
        ledger.run(attempts.emit(claim, tokens=5))
        hands.give_back(claim)
        job.cancel()

    assert ledger.redis.zrange(keys.TENANTS, 0, -1) == ["default"]
    (key,) = ledger.redis.keys(f"{keys.USAGE}*")
    assert 0 < ledger.redis.pttl(key) <= 3 * day * 1000


@run_with(max_examples=200, derandomize=True)
@given(st.data())
def test_the_scripts_count_in_the_same_windows(server_url: str, data: st.DataObject) -> None:
    moments = data.draw(st.lists(st.integers(0, 7_258_118_400_000), min_size=1))  # until 2200
    probe = (
        load("set_budget").text.partition("local level = read_level")[0]
        + "local found = {} for _, ms in ipairs(ARGV) do for _, name in ipairs(WINDOWS) do "
        "found[#found + 1] = window_index(name, tonumber(ms)) end end return found"
    )
    ledger = Ledger(server_url)
    found = ledger.redis.eval(probe, 0, *moments)
    ledger.close()
    assert found == [windows.index(name, ms) for ms in moments for name in windows.WINDOWS]
