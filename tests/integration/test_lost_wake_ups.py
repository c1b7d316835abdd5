"""Wake-ups that are lost, and those that only seem to be."""

from __future__ import annotations

import json

from ledger import keys, recovery
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support import attempts
from tests.support.gates import begun
from tests.support.hands import LISTS
from tests.support.registering import register
from workers.reconciler import take_over


def test_a_wake_up_that_is_lost_is_followed_by_another_one(
    client: LLMClient, start_workers: StartWorkers, ledger: Ledger
) -> None:
    # Given an instance whose wake-ups are lost while its worker is busy
    start_workers("inst0")
    busy = begun(client.submit("[[mock tokens=40 tps=40]]", agent_id="a", instance="inst0"))
    waiting = [client.submit("hello", agent_id="a", instance="inst0") for _ in range(5)]

    # When
    ledger.redis.delete(*LISTS)

    # Then
    for job in (busy, *waiting):
        assert job.result(timeout=20).attempt == 1


def test_wake_ups_that_wait_for_a_busy_worker_are_not_pushed_again(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    for _ in range(5):
        client.submit("hello", agent_id="a", instance="inst0")
    before = [ledger.redis.lrange(name, 0, -1) for name in LISTS]

    ledger.run(recovery.mend("inst0", patience_ms=0))

    assert [ledger.redis.lrange(name, 0, -1) for name in LISTS] == before


def test_a_lost_wake_up_goes_before_the_others_of_its_band(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    first, *_ = [client.submit("hello", agent_id="a", instance="inst0") for _ in range(5)]
    ledger.redis.rpop(LISTS[2])

    ledger.run(recovery.mend("inst0", patience_ms=0))

    assert first.id in ledger.redis.lrange(LISTS[2], -1, -1)[0]


def test_a_wake_up_of_a_job_that_is_gone_is_forgotten(client: LLMClient, ledger: Ledger) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a", instance="inst0")
    ledger.redis.delete(*LISTS, keys.job(job.id))

    ledger.run(recovery.mend("inst0", patience_ms=0))

    assert ledger.redis.zcard(keys.woken("inst0")) == 0
    assert ledger.redis.exists(*LISTS) == 0


def test_a_worker_that_starts_is_woken_for_every_job_that_waits(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given as many lost wake-ups as the list holds
    register(ledger, slots=4)
    waiting = [client.submit("hello", agent_id="a", instance="inst0").id for _ in range(9)]
    ledger.redis.delete(*LISTS)

    # When
    register(ledger, slots=4)
    take_over(ledger, settings, settings.instance("inst0"), gone="")

    # Then
    served = []
    while taken := ledger.redis.rpop(LISTS[2]):
        served.append(attempts.claimed(ledger, json.loads(taken)["id"]).job_id)
    assert sorted(served) == sorted(waiting)
