"""A hundred thousand jobs wait for one instance."""

from __future__ import annotations

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import closed_gate
from tests.support.hands import LISTS
from tests.support.waiting import eventually

MANY = 100_000


@pytest.mark.timeout(240)
def test_with_100_000_waiting_everything_is_as_with_few(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given
    start_workers("inst0")
    gate = closed_gate(client)
    request = {"prompt": "hello", "agent_id": "a", "max_tokens": 16, "priority": "LOW"}
    crowd = client.submit_many([request] * MANY)
    assert all(job.refused is None for job in crowd)
    # Then Celery's lists hold a few wake-ups, and each job knows its place
    assert sum(ledger.redis.llen(name) for name in LISTS) <= 2
    assert crowd[-1].status().position == MANY
    # When one in the midst is cancelled, it is gone at once
    crowd[MANY // 2].cancel()
    assert crowd[MANY // 2].status().state == "cancelled"
    assert crowd[-1].status().position == MANY - 1
    # When somebody is in a hurry, they are next
    urgent = client.submit("hello", agent_id="b", priority="URGENT")
    gate.cancel()
    assert urgent.result(timeout=10).text.startswith("Hello")
    # And the crowd follows in its order
    assert crowd[0].result(timeout=10).attempt == 1
    eventually(lambda: crowd[50].status().state == "succeeded")
    assert ledger.redis.zcard(keys.waiting("inst0")) > MANY - 20_000
