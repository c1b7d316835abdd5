"""A lease that is over: its job is given back, and whoever had it can write nothing more."""

from __future__ import annotations

from ledger import jobs, keys, recovery, status
from ledger.messages import State
from ledger.recovery import Duty
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import Job, LLMClient
from tests.support import attempts
from tests.support.reconciling import tick
from tests.support.registering import register


def lease_is_over(ledger: Ledger, job: Job) -> None:
    ledger.redis.zadd(keys.running("inst0"), {job.id: 1})


def with_its_lease_over(ledger: Ledger, client: LLMClient) -> Job:
    """A job that inst0 has claimed, and whose lease has run out."""
    register(ledger)
    job = client.submit("hello", agent_id="a")
    attempts.claimed(ledger, job.id)
    lease_is_over(ledger, job)
    return job


def reconciled_for(ledger: Ledger, ms: int) -> None:
    """As if a reconciler had done its work for so long, and until now."""
    duty = ledger.run(recovery.reconcile("another", term_ms=0, silence_ms=1))
    assert duty is not None
    ledger.redis.hset(keys.RECONCILER, "since", duty.now_ms - ms)


def test_a_lease_that_is_over_spends_an_attempt_and_no_zombie_can_write(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claim = attempts.claimed(ledger, job.id)
    lease_is_over(ledger, job)
    reconciled_for(ledger, 60_000)

    # When
    tick(ledger, settings)

    # Then
    entry = ledger.run(status.read_job(job.id))
    assert entry is not None
    assert (entry.facts.state, entry.facts.failures) == (State.QUEUED, 1)
    assert ledger.run(jobs.stop(job.id, fence=claim.fence, why="cancel")) is False
    assert attempts.claimed(ledger, job.id, lease_ms=1).fence == claim.fence + 1


def test_a_lease_that_was_renewed_meanwhile_is_left_alone(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    claim = attempts.claimed(ledger, job.id)

    answer = ledger.run(attempts.requeue(claim, failed=True, lease_over=True))

    assert answer == "renewed"
    assert job.status().state is State.RUNNING


def test_after_an_outage_leases_are_given_one_lease_of_time(
    client: LLMClient, ledger: Ledger, settings: Settings
) -> None:
    # Given a lease that is over, and nobody who looked for the length of an outage
    job = with_its_lease_over(ledger, client)
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
    job = with_its_lease_over(ledger, client)
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
        attempts.claimed(ledger, one.id)
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
    attempts.claimed(ledger, job.id)
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
