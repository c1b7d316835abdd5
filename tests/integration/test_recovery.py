"""Whatever is killed or lost, its job comes to its end by another attempt, another wake-up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from ledger import jobs, keys, recovery, status
from ledger.jobs import Claim
from ledger.messages import State
from ledger.recovery import Duty
from ledger.redis_client import Ledger
from ledger.rehoming import retire
from ledger.settings import Settings, load_settings
from producer import Job, JobDead, JobExpired, LLMClient
from tests.conftest import StartWorkers
from tests.support.command import apexq
from tests.support.fleet import come, instance_of
from tests.support.hands import LISTS
from tests.support.registering import OWNER, register
from tests.support.waiting import eventually
from tests.support.workers import Worker
from workers.reconciler import Reconciler

SHORT_LEASE = {"APEX_LEASE_S": "2"}
LONG_LEASE = {"APEX_LEASE_S": "300"}
SLOW = "[[mock tokens=40 tps=40]]"


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as server:
        yield server


def begun(job: Job) -> Job:
    """The job, once its first token is there."""
    next(iter(job.stream(timeout_s=20)))
    return job


def kill(worker: Worker) -> None:
    worker.process.kill()
    worker.process.wait(10)


def words(text: str) -> list[str]:
    return [word.partition("-")[2] for word in text.split()]


# A whole worker is killed


def test_a_killed_workers_job_is_given_back_by_another_instances_worker_when_its_lease_is_over(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given
    first, _ = start_workers("inst0", "inst1", env=SHORT_LEASE)
    job = begun(client.submit("[[mock tokens=400 tps=20]]", agent_id="a", instance="inst0"))

    # When
    kill(first)
    killed = time.monotonic()

    # Then
    eventually(lambda: job.status().state is State.QUEUED)
    assert time.monotonic() - killed < 2 + 5
    start_workers("inst0", env=SHORT_LEASE)
    second = next(event for event in job.stream(timeout_s=20) if event.attempt == 2)
    assert second.kind == "chunk"
    job.cancel()


def test_a_worker_that_comes_back_takes_up_what_the_one_before_it_left_at_once(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given a lease that does not run out
    (first,) = start_workers("inst0", env=LONG_LEASE)
    job = begun(client.submit(SLOW, agent_id="a", instance="inst0"))

    # When
    kill(first)
    start_workers("inst0", env=LONG_LEASE)

    # Then
    result = job.result(timeout=20)
    assert words(result.text) == [str(number) for number in range(40)]
    assert result.attempt == 2
    assert result.usage.completion_tokens == 40
    assert client.get_stats()["tokens_held"] == 0


def test_a_worker_that_comes_back_is_woken_for_what_the_one_before_it_had_not_begun(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    # Given a wake-up that a worker took along
    (first,) = start_workers("inst0", env=LONG_LEASE)
    kill(first)
    job = client.submit("hello", agent_id="a", instance="inst0")
    assert server.delete(*LISTS) == 1

    # When
    start_workers("inst0", env=LONG_LEASE)

    # Then
    assert job.result(timeout=20).attempt == 1


def test_another_worker_repairs_when_the_one_that_did_is_killed(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    # Given
    workers = start_workers("inst0", "inst1", env=SHORT_LEASE)
    owner = eventually(lambda: server.hget(keys.RECONCILER, "owner"))
    repairs = next(one for one in workers if owner.startswith(f"{one.name}@"))
    (other,) = [one for one in workers if one is not repairs]
    job = begun(client.submit("[[mock tokens=400 tps=20]]", agent_id="a", instance=repairs.name))

    # When
    kill(repairs)

    # Then
    eventually(lambda: job.status().state is State.QUEUED)
    assert server.hget(keys.RECONCILER, "owner").startswith(f"{other.name}@")


# Wake-ups


def test_a_wake_up_that_is_lost_is_followed_by_another_one(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    # Given an instance whose wake-ups are lost while its worker is busy
    start_workers("inst0")
    busy = begun(client.submit(SLOW, agent_id="a", instance="inst0"))
    waiting = [client.submit("hello", agent_id="a", instance="inst0") for _ in range(5)]

    # When
    server.delete(*LISTS)

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


# Leases


def claimed(ledger: Ledger, job: Job, *, lease_ms: int) -> Claim:
    call = jobs.claim(job.id, instance="inst0", owner=OWNER, pid=1, lease_ms=lease_ms, nonce="n")
    claim = ledger.run(call)
    assert isinstance(claim, Claim)
    return claim


def lease_is_over(ledger: Ledger, job: Job) -> None:
    ledger.redis.zadd(keys.running("inst0"), {job.id: 1})


def reconciled_for(ledger: Ledger, ms: int) -> None:
    """As if a reconciler had done its work for so long, and until now."""
    duty = ledger.run(recovery.reconcile("another", term_ms=0, silence_ms=1))
    assert duty is not None
    ledger.redis.hset(keys.RECONCILER, "since", duty.now_ms - ms)


def tick(ledger: Ledger, settings: Settings) -> None:
    owner = ledger.redis.hget(keys.RECONCILER, "owner") or "tests"
    assert Reconciler(ledger, str(owner), settings).tick()


def test_a_lease_that_is_over_spends_an_attempt_and_no_zombie_can_write(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claim = claimed(ledger, job, lease_ms=60_000)
    lease_is_over(ledger, job)
    reconciled_for(ledger, 60_000)

    # When
    tick(ledger, settings)

    # Then
    entry = ledger.run(status.read_job(job.id))
    assert entry is not None
    assert (entry.facts.state, entry.facts.failures) == (State.QUEUED, 1)
    assert ledger.run(jobs.stop(job.id, fence=claim.fence, why="cancel")) is False
    assert claimed(ledger, job, lease_ms=1).fence == claim.fence + 1


def test_a_lease_that_was_renewed_meanwhile_is_left_alone(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claim = claimed(ledger, job, lease_ms=60_000)

    call = jobs.requeue(
        job.id, instance="inst0", fence=claim.fence, reason="x", failed=True, lease_over=True
    )

    assert ledger.run(call) == "renewed"
    assert job.status().state is State.RUNNING


def test_after_an_outage_leases_are_given_one_lease_of_time(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given a lease that is over, and nobody who looked for the length of an outage
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claimed(ledger, job, lease_ms=60_000)
    lease_is_over(ledger, job)
    reconciled_for(ledger, 60_000)
    ledger.redis.hset(keys.RECONCILER, "at", 1)

    # When somebody looks again
    tick(ledger, settings)

    # Then it stays, until a lease's time has passed
    assert job.status().state is State.RUNNING
    reconciled_for(ledger, 15_000)
    tick(ledger, settings)
    assert job.status().state is State.QUEUED


def test_a_lease_of_a_job_that_is_gone_is_forgotten(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claimed(ledger, job, lease_ms=60_000)
    lease_is_over(ledger, job)
    ledger.redis.delete(keys.job(job.id))

    tick(ledger, settings)

    assert ledger.redis.zcard(keys.running("inst0")) == 0


def test_what_is_damaged_does_not_keep_other_jobs_from_being_brought_back(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given a damaged instance, a damaged job, and another one, both without a worker
    register(ledger, "damaged")
    for _ in range(3):
        client.submit("hello", agent_id="a", instance="damaged")
    ledger.redis.delete(f"damaged{keys.PRIORITY_SEPARATOR}6")
    ledger.redis.set(keys.fair("damaged"), "junk")
    register(ledger)
    damaged, job = [client.submit("hello", agent_id="a", instance="inst0") for _ in range(2)]
    for one in (damaged, job):
        claimed(ledger, one, lease_ms=60_000)
        lease_is_over(ledger, one)
    ledger.redis.hset(keys.job(damaged.id), "made", "x")
    reconciled_for(ledger, 60_000)

    # When
    tick(ledger, settings)

    # Then
    assert job.status().state is State.QUEUED


def test_a_cancelled_job_whose_worker_is_gone_ends_cancelled(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claimed(ledger, job, lease_ms=60_000)
    assert job.cancel() == "stopping"
    lease_is_over(ledger, job)
    reconciled_for(ledger, 60_000)

    tick(ledger, settings)

    assert job.outcome(timeout=5).state is State.CANCELLED


def test_only_one_repairs_at_a_time(ledger: Ledger) -> None:
    def asks(owner: str) -> Duty | None:
        return ledger.run(recovery.reconcile(owner, term_ms=60_000, silence_ms=60_000))

    assert asks("one") is not None
    assert asks("other") is None
    assert asks("one") is not None


# Time limits in the queue


def test_a_job_that_may_not_wait_for_ever_expires_while_its_instance_is_busy(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    # Given
    start_workers("inst0")
    busy = begun(client.submit("[[mock tokens=4000 tps=20]]", agent_id="a", instance="inst0"))

    # When
    late = client.submit("hello", agent_id="a", instance="inst0", queue_timeout_s=0.3)

    # Then
    with pytest.raises(JobExpired) as expired:
        late.result(timeout=10)
    assert (expired.value.limit, expired.value.timeout_s) == ("queue_timeout_s", 0.3)
    assert busy.status().state is State.RUNNING
    assert server.zcard(keys.EXPIRING) == 0
    busy.cancel()


def test_a_job_that_was_claimed_in_time_does_not_expire(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    start_workers("inst0")

    job = client.submit(SLOW, agent_id="a", queue_timeout_s=0.5)

    assert job.result(timeout=20).attempt == 1
    assert server.zcard(keys.EXPIRING) == 0


def test_a_job_that_is_cancelled_need_not_expire(client: LLMClient, ledger: Ledger) -> None:
    register(ledger)

    client.submit("hello", agent_id="a", queue_timeout_s=60).cancel()

    assert ledger.redis.zcard(keys.EXPIRING) == 0


# Attempts


def test_poison_leaves_room_for_its_neighbours_and_is_dead_after_its_last_attempt(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given a job that kills every process, before others
    start_workers("inst0")
    poison = client.submit("[[mock tokens=5 crash_at=1 crashes=99]]", agent_id="a", tenant="acme")
    neighbours = [client.submit("hello", agent_id="b") for _ in range(5)]

    # Then
    with pytest.raises(JobDead, match="after 3 attempts; the last one: its process was lost") as it:
        poison.result(timeout=30)
    assert [one["attempt"] for one in it.value.history] == [1, 2, 3]
    assert {one["instance"] for one in it.value.history} == {"inst0"}
    ended = poison.outcome().timings.total_ms
    assert all(one.result(timeout=20).timings.total_ms < ended for one in neighbours)
    assert client.get_stats()["tokens_held"] == 0


def test_a_second_failure_waits_before_the_next_attempt(client: LLMClient, ledger: Ledger) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    states = []
    for failure in range(2):
        claim = claimed(ledger, job, lease_ms=60_000 + failure)
        call = jobs.requeue(job.id, instance="inst0", fence=claim.fence, reason="x", failed=True)
        assert ledger.run(call) == "queued"
        states.append(ledger.redis.zscore(keys.DELAYED, job.id))

    seconds, _ = ledger.redis.time()
    assert states[0] is None
    assert states[1] is not None
    assert 0 <= states[1] / 1000 - seconds <= 2


def pause(ledger: Ledger, job: Job) -> None:
    """Its first attempt fails, and its next one may follow an hour later."""
    claim = claimed(ledger, job, lease_ms=60_000)
    call = jobs.requeue(
        job.id,
        instance="inst0",
        fence=claim.fence,
        reason="x",
        failed=True,
        wait_ms=3_600_000,
    )
    assert ledger.run(call) == "queued"


def test_an_instance_is_not_forgotten_while_a_job_of_it_pauses(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    register(ledger)
    job = client.submit("hi", agent_id="a")
    pause(ledger, job)
    # When
    client.drain("inst0")
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


def test_an_error_that_may_pass_is_followed_by_another_attempt(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")

    result = client.submit("[[mock tokens=9 error_at=4 errors=1]]", agent_id="a").result(20)

    assert words(result.text) == [str(number) for number in range(9)]
    assert result.attempt == 2


def test_an_error_that_says_when_to_come_back_is_obeyed(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    start_workers("inst0")

    job = client.submit("[[mock tokens=9 error_at=4 errors=1 retry_after_s=600]]", agent_id="a")

    again_ms = eventually(lambda: server.zscore(keys.DELAYED, job.id))
    assert 590 < again_ms / 1000 - server.time()[0] <= 601
    assert job.status().why.startswith("its next attempt is in ")
    assert job.id in apexq("jobs", "list", url=client.settings.redis_url).stdout
    assert client.complete("hello", agent_id="b").attempt == 1  # nobody waits for it
    assert job.cancel() == "cancelled"
    assert server.zcard(keys.DELAYED) == 0


def test_an_error_that_does_not_pass_ends_dead_with_the_reason_of_each_attempt(
    redis_url: str, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    with LLMClient(load_settings(env={}, redis_url=redis_url, max_attempts=2)) as client:
        job = client.submit("[[mock tokens=9 error_at=4 errors=99]]", agent_id="a")

        with pytest.raises(JobDead) as dead:
            job.result(timeout=20)
        reasons = [one["reason"] for one in dead.value.history]
        assert reasons == ["The mock was told to fail here"] * 2
        assert len(job.outcome().text.split()) == 4
        assert client.get_stats()["tokens_held"] == 0


def test_an_error_that_is_final_ends_the_job_at_once(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")

    record = client.submit("[[mock tokens=9 error_at=4]]", agent_id="a").outcome(timeout=20)

    assert (record.state, record.attempt) == (State.FAILED, 1)


def test_a_killed_child_is_soon_followed_by_the_next_attempt(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    start_workers("inst0")
    job = begun(client.submit("[[mock tokens=4000 tps=50]]", agent_id="a"))
    pid = int(server.hget(keys.job(job.id), "pid"))

    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()

    next(event for event in job.stream(timeout_s=20) if event.attempt == 2)
    assert time.monotonic() - killed < 5  # 0.3 s; a busy machine may be slower
    job.cancel()


def test_processes_that_are_killed_as_soon_as_they_have_a_job_do_not_end_their_worker(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given jobs that kill each process at once, more often than a model may fail to load
    (worker,) = start_workers("inst0")
    poison = "[[mock tokens=5 crash_at=0 crashes=99]]"
    jobs = [client.submit(poison, agent_id="a", instance="inst0") for _ in range(3)]

    # Then
    assert [job.outcome(timeout=40).state for job in jobs] == [State.DEAD] * 3
    assert client.complete("hello", agent_id="a", instance="inst0").attempt == 1
    assert worker.process.poll() is None
