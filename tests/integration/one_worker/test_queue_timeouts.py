"""A job that may not wait for ever expires in its queue, and nowhere else."""

from __future__ import annotations

import pytest

from ledger import keys
from ledger.messages import State
from ledger.redis_client import Ledger
from producer import JobExpired, LLMClient
from tests.support.gates import begun, closed_gate


def test_a_job_that_may_not_wait_for_ever_expires_while_its_instance_is_busy(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    busy = begun(client.submit("[[mock tokens=4000 tps=20]]", agent_id="a", instance="inst0"))

    # When
    late = client.submit("hello", agent_id="a", instance="inst0", queue_timeout_s=0.3)

    # Then
    with pytest.raises(JobExpired) as expired:
        late.result(timeout=10)
    assert (expired.value.limit, expired.value.timeout_s) == ("queue_timeout_s", 0.3)
    assert busy.status().state is State.RUNNING
    assert ledger.redis.zcard(keys.EXPIRING) == 0
    busy.cancel()


def test_a_job_that_was_claimed_in_time_does_not_expire(client: LLMClient, ledger: Ledger) -> None:
    job = client.submit("[[mock tokens=40 tps=40]]", agent_id="a", queue_timeout_s=0.5)

    assert job.result(timeout=20).attempt == 1
    assert ledger.redis.zcard(keys.EXPIRING) == 0


def test_a_job_that_is_cancelled_need_not_expire(client: LLMClient, ledger: Ledger) -> None:
    gate = closed_gate(client)
    waiting = client.submit("hello", agent_id="a", queue_timeout_s=60)
    assert ledger.redis.zcard(keys.EXPIRING) == 1

    assert waiting.cancel() == "cancelled"

    assert ledger.redis.zcard(keys.EXPIRING) == 0
    gate.cancel()
