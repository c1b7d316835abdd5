"""An instance that is to be forgotten and still has a job, or a worker."""

from __future__ import annotations

from ledger import keys
from ledger.redis_client import Ledger
from ledger.rehoming import retire
from ledger.settings import Settings
from ledger.steps import drive
from producer import Job, LLMClient
from routing.registry import read_registry
from routing.rehoming import rehome
from tests.support import attempts
from tests.support.fleet import come, go, instance_of, stop
from tests.support.reconciling import tick

ABSENT_S = 60
HOUR_MS = 3_600_000


def names(ledger: Ledger) -> list[str]:
    return [entry.name for entry in ledger.run(read_registry()).entries]


def paused_on_inst0(ledger: Ledger, client: LLMClient) -> Job:
    """A job there whose next attempt may follow an hour later, while that is to be forgotten."""
    come(ledger, "inst0")
    job = client.submit("hi", agent_id="a")
    claim = attempts.claimed(ledger, job.id)
    assert ledger.run(attempts.requeue(claim, failed=True, wait_ms=HOUR_MS)) == "queued"
    come(ledger, "inst1")
    client.drain("inst0")
    stop(ledger, "inst0")
    assert not ledger.run(retire("inst0"))
    return job


def test_it_is_forgotten_once_its_job_has_gone_elsewhere(
    ledger: Ledger, client: LLMClient, settings: Settings
) -> None:
    # Given
    job = paused_on_inst0(ledger, client)
    tick(ledger, settings)
    assert names(ledger) == ["inst0", "inst1"]
    # When its pause is over
    ledger.redis.zadd(keys.DELAYED, {job.id: 1})
    tick(ledger, settings)
    tick(ledger, settings)
    # Then
    assert instance_of(ledger, job.id) == "inst1"
    assert names(ledger) == ["inst1"]


def test_it_is_forgotten_once_a_job_for_it_alone_has_ended(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, "inst0", "inst1")
    job = client.submit("hi", agent_id="a", instance="inst0")
    client.drain("inst0")
    stop(ledger, "inst0")
    assert not ledger.run(retire("inst0"))
    drive(ledger, rehome(ABSENT_S))
    assert names(ledger) == ["inst0", "inst1"]
    job.cancel()
    drive(ledger, rehome(ABSENT_S))
    assert names(ledger) == ["inst1"]


def test_it_stays_where_its_worker_comes_back_first(ledger: Ledger, client: LLMClient) -> None:
    job = paused_on_inst0(ledger, client)
    come(ledger, "inst0")
    stop(ledger, "inst0")  # or it would stay for its worker's sake
    job.cancel()
    drive(ledger, rehome(ABSENT_S))
    assert names(ledger) == ["inst0", "inst1"]


def test_it_stays_where_it_is_resumed_and_drained_again(ledger: Ledger, client: LLMClient) -> None:
    job = paused_on_inst0(ledger, client)
    client.resume("inst0")
    client.drain("inst0")
    job.cancel()
    drive(ledger, rehome(ABSENT_S))
    assert names(ledger) == ["inst0", "inst1"]


def test_it_stays_while_its_worker_may_live(ledger: Ledger, client: LLMClient) -> None:
    # Given one that another stack serves by now
    come(ledger, "inst0", "inst1")
    client.drain("inst0")
    # Then
    assert not ledger.run(retire("inst0"))
    drive(ledger, rehome(ABSENT_S))
    assert names(ledger) == ["inst0", "inst1"]
    # When it was not heard for long
    go(ledger, "inst0")
    drive(ledger, rehome(ABSENT_S))
    # Then
    assert names(ledger) == ["inst1"]


def test_who_reconciles_forgets_none_that_was_resumed_a_moment_ago(
    ledger: Ledger, client: LLMClient
) -> None:
    paused_on_inst0(ledger, client).cancel()
    client.resume("inst0")
    client.drain("inst0")

    assert not ledger.run(retire("inst0", noted=True))
    assert ledger.run(retire("inst0"))


def test_jobs_for_one_that_was_forgotten_a_moment_ago_go_to_their_agents_new_home(
    ledger: Ledger, client: LLMClient, settings: Settings
) -> None:
    # Given
    come(ledger, "inst0", "inst1")
    job = client.submit("hi", agent_id="a")
    job.cancel()
    home = instance_of(ledger, job.id)
    with LLMClient(settings) as another:
        another.drain(home)
    stop(ledger, home)
    assert ledger.run(retire(home))
    # When
    jobs = client.submit_many([{"prompt": "hi", "agent_id": "a"}] * 2)
    # Then
    assert {instance_of(ledger, job.id) for job in jobs} == {"inst0", "inst1"} - {home}
