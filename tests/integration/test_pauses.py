"""A job that pauses before its next attempt."""

from __future__ import annotations

import pytest

from ledger import keys, recovery
from ledger.redis_client import Ledger
from ledger.rehoming import retire
from ledger.settings import Settings
from producer import Job, LLMClient
from tests.conftest import StartWorkers
from tests.support import attempts
from tests.support.command import apexq
from tests.support.fleet import come, instance_of, stop
from tests.support.reconciling import tick
from tests.support.registering import OWNER, register
from tests.support.waiting import eventually
from workers.reconciler import Reconciler

HOUR_MS = 3_600_000


def test_a_second_failure_waits_before_the_next_attempt(client: LLMClient, ledger: Ledger) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    states = []
    for _ in range(2):
        claim = attempts.claimed(ledger, job.id)
        assert ledger.run(attempts.requeue(claim, failed=True)) == "queued"
        states.append(ledger.redis.zscore(keys.DELAYED, job.id))

    seconds, _ = ledger.redis.time()
    assert states[0] is None
    assert states[1] is not None
    assert 0 <= states[1] / 1000 - seconds <= 2


def pause(ledger: Ledger, job: Job) -> None:
    """Its first attempt fails, and its next one may follow an hour later."""
    claim = attempts.claimed(ledger, job.id)
    assert ledger.run(attempts.requeue(claim, failed=True, wait_ms=HOUR_MS)) == "queued"


def test_an_instance_is_not_forgotten_while_a_job_of_it_pauses(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    register(ledger)
    job = client.submit("hi", agent_id="a")
    pause(ledger, job)
    # When
    client.drain("inst0")
    stop(ledger, "inst0")
    # Then
    assert not ledger.run(retire("inst0"))
    job.cancel()
    assert ledger.run(retire("inst0"))


def test_a_job_that_paused_while_its_instance_was_drained_goes_on_elsewhere(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given
    come(ledger, "inst0")
    job = client.submit("hi", agent_id="a")
    pause(ledger, job)
    come(ledger, "inst1")
    client.drain("inst0")
    assert not ledger.run(retire("inst0"))
    # When
    ledger.redis.zadd(keys.DELAYED, {job.id: 1})
    tick(ledger, settings)
    # Then
    assert instance_of(ledger, job.id) == "inst1"


def test_jobs_of_an_instance_that_is_gone_do_not_keep_others_from_their_next_attempt(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given more of them than one look finds
    register(ledger)
    gone = [client.submit("hi", agent_id="a") for _ in range(recovery.AT_ONCE)]
    job = client.submit("hi", agent_id="a")
    ledger.redis.delete(keys.waiting("inst0"), keys.woken("inst0"))
    for number, other in enumerate(gone):
        ledger.redis.hset(keys.job(other.id), "instance", "gone")
        ledger.redis.zadd(keys.DELAYED, {other.id: number})
    ledger.redis.zadd(keys.DELAYED, {job.id: recovery.AT_ONCE})
    reconciler = Reconciler(ledger, OWNER, client.settings)
    # When
    reconciler.tick()
    reconciler.tick()
    # Then
    assert ledger.redis.zrange(keys.woken("inst0"), 0, -1) == [job.id]
    assert ledger.redis.zcard(keys.DELAYED) == recovery.AT_ONCE  # they are looked at again


def test_an_instance_that_is_damaged_keeps_no_job_of_another_from_its_next_attempt(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given
    register(ledger, "inst0")
    other, job = (client.submit("hi", agent_id="a") for _ in range(2))
    for number, one in enumerate((other, job)):
        pause(ledger, one)
        ledger.redis.zadd(keys.DELAYED, {one.id: number})
    register(ledger, "damaged")
    ledger.redis.set(keys.waiting("damaged"), "junk")
    ledger.redis.hset(keys.job(other.id), "instance", "damaged")
    # When
    tick(ledger, settings)
    # Then
    assert ledger.redis.zrange(keys.woken("inst0"), 0, -1) == [job.id]


def test_a_job_that_cannot_be_woken_is_still_to_be_woken_and_the_log_says_so_once(
    client: LLMClient, ledger: Ledger, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    register(ledger)
    job = client.submit("hi", agent_id="a", priority="URGENT")
    pause(ledger, job)
    ledger.redis.zadd(keys.DELAYED, {job.id: 1})
    ledger.redis.delete(keys.queue("inst0"))
    ledger.redis.set(keys.queue("inst0"), "junk")
    # When
    reconciler = Reconciler(ledger, OWNER, settings)
    assert [reconciler.tick(), reconciler.tick()] == [True, True]
    # Then
    assert caplog.text.count(f"job {job.id} cannot be woken") == 1
    # When that is mended
    ledger.redis.delete(keys.queue("inst0"))
    assert reconciler.tick()
    # Then
    assert ledger.redis.zrange(keys.woken("inst0"), 0, -1) == [job.id]
    # When its worker is lost then
    attempts.claimed(ledger, job.id)
    ledger.redis.zadd(keys.running("inst0"), {job.id: 1})
    ledger.redis.hset(keys.RECONCILER, "since", 1)
    assert reconciler.tick()
    # Then it is given back as any other
    assert job.status().state == "queued"


def test_an_error_that_says_when_to_come_back_is_obeyed(
    client: LLMClient, start_workers: StartWorkers, ledger: Ledger
) -> None:
    start_workers("inst0")

    job = client.submit("[[mock tokens=9 error_at=4 errors=1 retry_after_s=600]]", agent_id="a")

    again_ms = eventually(lambda: ledger.redis.zscore(keys.DELAYED, job.id))
    assert 590 < again_ms / 1000 - ledger.redis.time()[0] <= 601
    assert job.status().why.startswith("its next attempt is in ")
    assert job.id in apexq("jobs", "list", url=client.settings.redis_url).stdout
    assert client.complete("hello", agent_id="b").attempt == 1  # nobody waits for it
    assert job.cancel() == "cancelled"
    assert ledger.redis.zcard(keys.DELAYED) == 0
