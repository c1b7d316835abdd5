"""Limits by hour, day and month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as run_with
from hypothesis import strategies as st

from budgets import level_named
from ledger import windows
from ledger.accounts import read_accounts
from ledger.levels import Level
from ledger.redis_client import Ledger
from ledger.scripts import load
from ledger.settings import Settings, load_settings
from producer import BudgetExceeded, LLMClient
from tests.conftest import StartWorkers
from tests.support import attempts
from tests.support.hands import Hands
from tests.support.registering import register
from tests.support.spending import HOLD, a_day, asked, submitted
from tests.support.turns import turn_window


def agent_level(settings: Settings) -> Level:
    return level_named("default", "agent", "a", None, settings)


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
