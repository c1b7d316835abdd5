"""Where a job stands: its position is the order of service, and the reason is true."""

from __future__ import annotations

import pytest

from ledger import instances, keys
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from tests.support.hands import Hands
from tests.support.registering import OWNER, register


@pytest.fixture
def hands(ledger: Ledger) -> Hands:
    register(ledger)
    ledger.run(instances.set_state("inst0", OWNER, "ready"))
    return Hands(ledger)


def submit(client: LLMClient, *priorities: str, agent: str = "a") -> list[Job]:
    return [client.submit("hello", agent_id=agent, priority=one) for one in priorities]


def why(job: Job) -> str:
    return job.status().why


def test_a_normal_job_is_behind_the_urgent_ones(client: LLMClient, hands: Hands) -> None:
    (normal,) = submit(client, "NORMAL")
    assert (normal.status().position, why(normal)) == (0, "next on inst0")
    submit(client, "URGENT", "URGENT", "URGENT", "LOW")
    assert (normal.status().position, why(normal)) == (3, "behind 3 URGENT on inst0")


def test_each_band_before_it_is_counted_and_the_job_that_runs(
    client: LLMClient, hands: Hands
) -> None:
    submit(client, "HIGH")
    hands.take()
    jobs = submit(client, "NORMAL", "NORMAL", "HIGH", "LOW")
    said = jobs[-1].status()
    assert said.position == 4
    assert said.why == "behind 1 HIGH, 2 NORMAL, 1 running on inst0"


def test_positions_are_the_order_in_which_the_jobs_are_served(
    client: LLMClient, hands: Hands
) -> None:
    # Given more jobs of each band than Celery's lists hold wake-ups, of two tenants
    bands = ["NORMAL", "LOW", "URGENT", "HIGH", "NORMAL"] * 4
    jobs = submit(client, *bands)
    jobs += [
        client.submit("hello", agent_id="b", tenant="other", priority=band) for band in bands[:8]
    ]
    # When
    placed = {job.id: job.status().position for job in jobs}
    # Then
    assert sorted(placed.values()) == list(range(len(jobs)))
    assert hands.serve(len(jobs)) == sorted(placed, key=placed.__getitem__)


def test_the_start_is_foretold_from_the_average_run(
    client: LLMClient, hands: Hands, ledger: Ledger
) -> None:
    jobs = submit(client, "NORMAL", "NORMAL", "NORMAL")
    assert jobs[2].status().eta_s is None
    ledger.redis.hset(keys.entry("inst0"), mapping={"run_ms": 3000})
    assert [job.status().eta_s for job in jobs] == [0.0, 3.0, 6.0]
    ledger.redis.hset(keys.entry("inst0"), mapping={"slots": 2})
    assert jobs[2].status().eta_s == 3.0


def test_an_instance_that_takes_no_jobs_is_the_reason(
    client: LLMClient, hands: Hands, ledger: Ledger
) -> None:
    (job,) = submit(client, "NORMAL")
    ledger.run(instances.set_state("inst0", OWNER, "failed", "no such file"))
    assert (why(job), job.status().eta_s) == ("inst0 is failed (no such file)", None)
    ledger.redis.hset(keys.entry("inst0"), mapping={"state": "drained", "why": ""})
    assert why(job) == "inst0 is drained"


def test_an_instance_that_is_not_heard_is_the_reason(
    client: LLMClient, hands: Hands, ledger: Ledger
) -> None:
    (job,) = submit(client, "NORMAL")
    ledger.redis.zincrby(keys.SEEN, -70_000, "inst0")
    assert why(job) == "inst0 has not been heard for 70 s"
    ledger.redis.delete(keys.entry("inst0"))
    assert why(job) == "inst0 is not registered"


def test_a_job_that_runs_or_has_ended_says_so(client: LLMClient, hands: Hands) -> None:
    runs, waits = submit(client, "NORMAL", "NORMAL")
    claim = hands.take()
    assert (runs.status().state, runs.status().position) == ("running", None)
    assert why(runs) == "running on inst0"
    hands.finish(claim)
    assert why(runs) == "succeeded on inst0 (stop)"
    waits.cancel()
    assert why(waits) == f"Job {waits.id} was cancelled."
