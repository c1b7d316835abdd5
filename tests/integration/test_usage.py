"""What is noted of what was spent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import load_settings
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support import attempts
from tests.support.hands import Hands
from tests.support.registering import register
from tests.support.spending import asked


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
