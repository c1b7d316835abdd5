"""Draining an instance, and putting it back into service."""

from __future__ import annotations

import asyncio

import pytest

from ledger import instances, jobs
from ledger.errors import NoInstance
from ledger.jobs import Noop
from ledger.redis_client import Ledger
from ledger.settings import Settings
from ledger.steps import drive
from producer import AsyncLLMClient, LLMClient
from routing.rehoming import rehome
from tests.conftest import StartWorkers
from tests.support.fleet import come, instance_of, waiting
from tests.support.hands import Hands
from tests.support.registering import OWNER
from tests.support.waiting import eventually

ABSENT_S = 60


def test_what_runs_is_finished_and_what_waits_goes_elsewhere(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, "inst0", "inst1")
    running, *others = [client.submit("hi", agent_id="Planner") for _ in range(4)]
    claim = Hands(ledger).take()
    shift = client.drain("inst0")
    assert (shift.drained, shift.changed, shift.moved) == (True, True, 3)
    assert (shift.waiting, shift.running) == (0, 1)
    assert waiting(ledger, "inst1") == [job.id for job in others]
    Hands(ledger).finish(claim)
    assert str(running.outcome(timeout=5).state) == "succeeded"
    after = client.submit("hi", agent_id="Planner")
    assert instance_of(ledger, after.id) == "inst1"


def test_where_no_other_instance_has_the_model_the_jobs_wait_and_none_is_started(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, "inst0")
    submitted = [client.submit("hi", agent_id="a").id for _ in range(5)]
    shift = client.drain("inst0")
    assert (shift.moved, shift.waiting) == (0, 5)
    popped = jobs.claim(
        submitted[0], instance="inst0", owner=OWNER, pid=1, lease_ms=1000, nonce="popped"
    )
    assert ledger.run(popped) == Noop("queued")
    with pytest.raises(AssertionError, match="no wake-up"):
        Hands(ledger).take()
    submitted.append(client.submit("hi", agent_id="a").id)
    assert client.resume("inst0").waiting == 6
    assert Hands(ledger).serve(6) == submitted


def test_a_drained_instance_stays_so_when_its_worker_is_started_again(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, "inst0", "inst1")
    client.drain("inst0")
    come(ledger, "inst0")
    drive(ledger, rehome(ABSENT_S))
    assert instance_of(ledger, client.submit("hi", agent_id="Planner").id) == "inst1"


def test_resumed_it_gets_its_agents_jobs_back_in_order(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, "inst0", "inst1")
    submitted = [client.submit("hi", agent_id="Planner").id for _ in range(5)]
    client.drain("inst0")
    submitted.append(client.submit("hi", agent_id="Planner").id)
    shift = client.resume("inst0")
    assert (shift.drained, shift.changed, shift.moved, shift.waiting) == (False, True, 6, 6)
    submitted.append(client.submit("hi", agent_id="Planner").id)
    assert Hands(ledger).serve(7) == submitted


def test_one_that_is_resumed_before_its_worker_is_ready_gets_them_when_it_is(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, "inst0", "inst1")
    job = client.submit("hi", agent_id="Planner")
    client.drain("inst0")
    ledger.run(instances.set_state("inst0", OWNER, "starting"))
    assert client.resume("inst0").moved == 0
    assert drive(ledger, rehome(ABSENT_S)) == 0
    ledger.run(instances.set_state("inst0", OWNER, "ready"))
    assert drive(ledger, rehome(ABSENT_S)) == 1
    assert waiting(ledger, "inst0") == [job.id]


def test_to_say_it_twice_changes_nothing(ledger: Ledger, settings: Settings) -> None:
    come(ledger, "inst0", "inst1")

    async def twice() -> list[bool]:
        client = AsyncLLMClient(settings)
        shifts = [await client.drain("inst0"), await client.drain("inst0")]
        shifts += [await client.resume("inst0"), await client.resume("inst0")]
        await client.close()
        return [shift.changed for shift in shifts]

    assert asyncio.run(twice()) == [True, False, True, False]


def test_an_instance_that_nobody_knows_is_refused(client: LLMClient) -> None:
    with pytest.raises(NoInstance, match="no instance 'inst9'; `apexq status`"):
        client.drain("inst9")


def test_a_job_for_a_drained_instance_alone_is_refused_with_what_to_do(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, "inst0", "inst1")
    client.drain("inst0")
    with pytest.raises(NoInstance, match="inst0 is drained: `apexq resume inst0`"):
        client.submit("hi", agent_id="a", instance="inst0")


def test_a_job_that_waits_for_a_drained_instance_says_so(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, "inst0", "inst1")
    job = client.submit("hi", agent_id="a", instance="inst0")
    client.drain("inst0")
    assert job.status().why == "inst0 is drained"


def test_real_workers_drain_and_resume_under_load(
    start_workers: StartWorkers, ledger: Ledger, client: LLMClient
) -> None:
    first, _ = start_workers("inst0", "inst1", env={"APEX_LLM_INSTANCES": "2"})
    many = client.submit_many(
        [{"prompt": "[[mock tokens=2 tps=100]]", "agent_id": "Planner", "max_tokens": 4}] * 60
    )
    many[2].result(timeout=30)
    client.drain("inst0")
    eventually(lambda: client.drain("inst0").running == 0)
    first.stop()
    start_workers("inst0", env={"APEX_LLM_INSTANCES": "2"})
    assert client.submit("hi", agent_id="Planner").result(timeout=30).instance == "inst1"
    client.resume("inst0")
    assert client.submit("hi", agent_id="Planner").result(timeout=30).instance == "inst0"
    assert {str(job.outcome(timeout=60).state) for job in many} == {"succeeded"}
