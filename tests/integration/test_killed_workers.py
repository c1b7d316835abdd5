"""A worker or its process is killed: its jobs come to their ends by another attempt."""

from __future__ import annotations

import os
import signal
import time

from ledger import keys
from ledger.messages import State
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import begun, pid_of
from tests.support.hands import LISTS
from tests.support.numbered import numbers
from tests.support.waiting import eventually
from tests.support.workers import Worker

SHORT_LEASE = {"APEX_LEASE_S": "2"}
LONG_LEASE = {"APEX_LEASE_S": "300"}


def kill(worker: Worker) -> None:
    worker.process.kill()
    worker.process.wait(10)


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
    job = begun(client.submit("[[mock tokens=40 tps=40]]", agent_id="a", instance="inst0"))

    # When
    kill(first)
    start_workers("inst0", env=LONG_LEASE)

    # Then
    result = job.result(timeout=20)
    assert numbers(result.text) == list(range(40))
    assert result.attempt == 2
    assert result.usage.completion_tokens == 40
    assert client.get_stats()["tokens_held"] == 0


def test_a_worker_that_comes_back_is_woken_for_what_the_one_before_it_had_not_begun(
    client: LLMClient, start_workers: StartWorkers, ledger: Ledger
) -> None:
    # Given a wake-up that a worker took along
    (first,) = start_workers("inst0", env=LONG_LEASE)
    kill(first)
    job = client.submit("hello", agent_id="a", instance="inst0")
    assert ledger.redis.delete(*LISTS) == 1

    # When
    start_workers("inst0", env=LONG_LEASE)

    # Then
    assert job.result(timeout=20).attempt == 1


def test_another_worker_repairs_when_the_one_that_did_is_killed(
    client: LLMClient, start_workers: StartWorkers, ledger: Ledger
) -> None:
    # Given
    workers = start_workers("inst0", "inst1", env=SHORT_LEASE)
    owner = eventually(lambda: ledger.redis.hget(keys.RECONCILER, "owner"))
    repairs = next(one for one in workers if owner.startswith(f"{one.name}@"))
    (other,) = [one for one in workers if one is not repairs]
    job = begun(client.submit("[[mock tokens=400 tps=20]]", agent_id="a", instance=repairs.name))

    # When
    kill(repairs)

    # Then
    eventually(lambda: job.status().state is State.QUEUED)
    assert ledger.redis.hget(keys.RECONCILER, "owner").startswith(f"{other.name}@")


def test_a_killed_child_is_soon_followed_by_the_next_attempt(
    client: LLMClient, start_workers: StartWorkers, ledger: Ledger
) -> None:
    start_workers("inst0")
    job = begun(client.submit("[[mock tokens=4000 tps=50]]", agent_id="a"))

    os.kill(pid_of(ledger, job), signal.SIGKILL)
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
    poisons = [client.submit(poison, agent_id="a", instance="inst0") for _ in range(3)]

    # Then
    assert [job.outcome(timeout=40).state for job in poisons] == [State.DEAD] * 3
    assert client.complete("hello", agent_id="a", instance="inst0").attempt == 1
    assert worker.process.poll() is None
