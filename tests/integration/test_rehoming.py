"""Waiting jobs follow their agents when an instance goes, and come home when it is back."""

from __future__ import annotations

from collections.abc import Sequence

import psutil
import pytest

from ledger import jobs, keys, stream
from ledger.answer import text_of
from ledger.errors import NoInstance
from ledger.jobs import Noop
from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.rehoming import PAGE, move_jobs
from ledger.settings import load_settings
from ledger.steps import drive
from producer import Job, LLMClient
from routing.rehoming import leave, rehome
from routing.rendezvous import rank
from tests.conftest import StartWorkers
from tests.support.fleet import come, go, instance_of, waiting
from tests.support.hands import LISTS, Hands
from tests.support.registering import OWNER
from tests.support.waiting import eventually

ABSENT_S = 60
THREE = ("inst0", "inst1", "inst2")


def order_of(agent_id: str) -> list[str]:
    """The instances in the agent's own order."""
    return rank(agent_id, [(name, 1.0) for name in THREE])


def agents_of(name: str, count: int) -> list[str]:
    """So many agents whose own instance that is."""
    found = (f"a{number}" for number in range(10_000))
    own = (agent for agent in found if order_of(agent)[0] == name)
    return [next(own) for _ in range(count)]


def submit(client: LLMClient, agents: Sequence[str], rounds: int) -> list[tuple[str, Job]]:
    """A job of each agent, so many times; with its agent's id."""
    return [(agent, client.submit("hi", agent_id=agent)) for _ in range(rounds) for agent in agents]


def by_agent(ids: Sequence[str], submitted: Sequence[tuple[str, Job]]) -> dict[str, list[str]]:
    """The ids of each agent's jobs, in the order of ``ids``."""
    agents = {job.id: agent for agent, job in submitted}
    found: dict[str, list[str]] = {}
    for job_id in ids:
        found.setdefault(agents[job_id], []).append(job_id)
    return found


def test_each_job_goes_to_the_next_instance_of_its_agent_in_the_order_of_submission(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    submitted = submit(client, [f"a{number}" for number in range(12)], rounds=5)
    homeless = [(agent, job) for agent, job in submitted if order_of(agent)[0] == "inst0"]
    assert homeless
    go(ledger, "inst0")
    assert drive(ledger, rehome(ABSENT_S)) == len(homeless)
    assert waiting(ledger, "inst0") == []
    for agent, job in submitted:
        first, second, _ = order_of(agent)
        assert instance_of(ledger, job.id) == (second if first == "inst0" else first)
    served = by_agent([*waiting(ledger, "inst1"), *waiting(ledger, "inst2")], submitted)
    assert served == by_agent([job.id for _, job in submitted], submitted)


def test_a_job_whose_wake_up_was_popped_moves_too_and_the_old_wake_up_does_nothing(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    submitted = submit(client, agents_of("inst0", 1), rounds=3)
    first = submitted[0][1]
    assert first.id in str(ledger.redis.rpop(LISTS[2]))
    go(ledger, "inst0")
    assert drive(ledger, rehome(ABSENT_S)) == 3
    second = order_of(submitted[0][0])[1]
    assert waiting(ledger, second) == [job.id for _, job in submitted]
    assert [ledger.redis.llen(name) for name in LISTS] == [0, 0, 0, 0]
    late = jobs.claim(first.id, instance="inst0", owner=OWNER, pid=1, lease_ms=1000, nonce="late")
    assert ledger.run(late) == Noop("queued")
    assert waiting(ledger, second) == [job.id for _, job in submitted]


def test_new_jobs_queue_behind_the_old_ones_whatever_a_producer_knew(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    (agent,) = agents_of("inst0", 1)
    before = [client.submit("hi", agent_id=agent) for _ in range(3)]
    go(ledger, "inst0")
    drive(ledger, rehome(ABSENT_S))
    alone = client.submit("hi", agent_id=agent)  # by a registry that is not a second old
    many = client.submit_many([{"prompt": "hi", "agent_id": agent}] * 3)
    assert waiting(ledger, order_of(agent)[1]) == [job.id for job in [*before, alone, *many]]


def test_bulk_submits_of_a_moment_ago_are_sent_to_the_new_home(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    (agent,) = agents_of("inst0", 1)
    client.submit("hi", agent_id=agent)
    go(ledger, "inst0")
    drive(ledger, rehome(ABSENT_S))
    many = client.submit_many([{"prompt": "hi", "agent_id": agent}] * 150)
    assert [job.refused for job in many] == [None] * 150
    assert waiting(ledger, order_of(agent)[1])[1:] == [job.id for job in many]


def test_more_jobs_than_one_script_call_moves_all_move_in_order(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    agents = agents_of("inst0", 5)
    count = PAGE * 2 + 100
    requests = [{"prompt": "hi", "agent_id": agents[n % 5], "max_tokens": 1} for n in range(count)]
    many = client.submit_many(requests)
    go(ledger, "inst0")
    assert drive(ledger, rehome(ABSENT_S)) == count
    submitted = [(request["agent_id"], job) for request, job in zip(requests, many, strict=True)]
    served = by_agent([*waiting(ledger, "inst1"), *waiting(ledger, "inst2")], submitted)
    assert served == by_agent([job.id for job in many], submitted)


def test_what_is_done_twice_is_done_once(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, *THREE)
    submitted = submit(client, agents_of("inst0", 2), rounds=3)
    go(ledger, "inst0")
    drive(ledger, rehome(ABSENT_S))
    before = {name: waiting(ledger, name) for name in THREE}
    assert drive(ledger, rehome(ABSENT_S)) == 0
    call = move_jobs([job.id for _, job in submitted], "inst0", "inst1")
    assert ledger.run(call) == 0
    assert {name: waiting(ledger, name) for name in THREE} == before


def test_a_job_for_that_instance_alone_waits_for_it(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, *THREE)
    (agent,) = agents_of("inst0", 1)
    pinned = client.submit("hi", agent_id=agent, instance="inst0")
    free = client.submit("hi", agent_id=agent)
    go(ledger, "inst0")
    assert drive(ledger, rehome(ABSENT_S)) == 1
    assert waiting(ledger, "inst0") == [pinned.id]
    assert instance_of(ledger, free.id) == order_of(agent)[1]


def test_without_another_living_instance_the_jobs_wait(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, "inst0", "inst1")
    (agent,) = agents_of("inst0", 1)
    job = client.submit("hi", agent_id=agent)
    go(ledger, "inst0")
    go(ledger, "inst1")
    assert drive(ledger, rehome(ABSENT_S)) == 0
    assert waiting(ledger, "inst0") == [job.id]
    come(ledger, "inst0")
    assert Hands(ledger).serve(1) == [job.id]


def test_an_instance_that_was_forgotten_has_nothing_to_give_away(ledger: Ledger) -> None:
    come(ledger, "inst0")
    assert drive(ledger, leave("inst1", ABSENT_S)) == 0


def test_absence_does_not_count_right_after_an_outage(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, *THREE)
    submit(client, agents_of("inst0", 1), rounds=1)
    go(ledger, "inst0")
    assert drive(ledger, rehome(ABSENT_S, absence_counts=False)) == 0
    assert len(waiting(ledger, "inst0")) == 1


def test_jobs_come_home_before_those_that_were_sent_there_meanwhile(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    agents = agents_of("inst0", 3)
    submitted = submit(client, agents, rounds=4)
    go(ledger, "inst0")
    drive(ledger, rehome(ABSENT_S))
    submitted += submit(client, agents, rounds=2)
    come(ledger, "inst0")  # it is back; jobs that belong to it wait elsewhere
    submitted += submit(client, agents, rounds=1)
    assert waiting(ledger, "inst0") == []
    assert drive(ledger, rehome(ABSENT_S)) == len(submitted)
    submitted += submit(client, agents, rounds=1)
    expected = by_agent([job.id for _, job in submitted], submitted)
    assert by_agent(waiting(ledger, "inst0"), submitted) == expected
    assert by_agent(Hands(ledger).serve(len(submitted)), submitted) == expected


def test_nobody_elses_jobs_move_when_an_instance_is_new(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, "inst0", "inst1")
    agents = [f"a{number}" for number in range(40)]
    submitted = submit(client, agents, rounds=2)
    before = {job.id: instance_of(ledger, job.id) for _, job in submitted}
    come(ledger, "inst2")
    drive(ledger, rehome(ABSENT_S))
    for agent, job in submitted:
        expected = "inst2" if order_of(agent)[0] == "inst2" else before[job.id]
        assert instance_of(ledger, job.id) == expected
    assert waiting(ledger, "inst2")


def test_an_instance_is_open_at_once_where_nothing_waits(ledger: Ledger, client: LLMClient) -> None:
    come(ledger, "inst0")
    come(ledger, "inst1", "inst2")
    agents = [f"a{number}" for number in range(30)]
    submitted = submit(client, agents, rounds=1)
    assert all(instance_of(ledger, job.id) == order_of(agent)[0] for agent, job in submitted)


def test_a_job_of_a_model_that_no_other_instance_has_waits(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    described = str(ledger.redis.hget(keys.INSTANCES, "inst0"))
    ledger.redis.hset(keys.INSTANCES, "inst0", described.replace('"model":"mock"', '"model":"big"'))
    job = client.submit("hi", agent_id="a", model="big")
    go(ledger, "inst0")
    assert drive(ledger, rehome(ABSENT_S)) == 0
    assert waiting(ledger, "inst0") == [job.id]
    with pytest.raises(NoInstance, match="No live instance"):
        client.submit("hi", agent_id="a", model="big")


def test_a_damaged_instance_does_not_keep_the_others_from_being_moved(
    ledger: Ledger, client: LLMClient
) -> None:
    come(ledger, *THREE)
    (agent,) = agents_of("inst1", 1)
    job = client.submit("hi", agent_id=agent)
    ledger.redis.set(keys.waiting("inst0"), "no sorted set")
    go(ledger, "inst0")
    go(ledger, "inst1")
    assert drive(ledger, rehome(ABSENT_S)) == 1
    assert instance_of(ledger, job.id) == "inst2"


@pytest.mark.timeout(180)
def test_200_jobs_of_an_instance_that_is_killed_and_later_revived(
    redis_url: str, start_workers: StartWorkers, ledger: Ledger
) -> None:
    # Given 20 agents of inst0, and ten jobs of each
    short = {"APEX_LLM_INSTANCES": "3", "APEX_LEASE_S": "3", "APEX_ABSENT_S": "5"}
    first, *_ = start_workers(*THREE, env=short)
    settings = load_settings(env={**short, "APEX_CONFIG": ""}, redis_url=redis_url)
    agents = agents_of("inst0", 20)
    with LLMClient(settings) as client:
        requests = [
            {"prompt": f"[[mock tokens=4 tps=100]] {number}", "agent_id": agent, "max_tokens": 8}
            for number in range(10)
            for agent in agents
        ]
        submitted = list(zip(agents * 10, client.submit_many(requests), strict=True))
        # When inst0 is killed with all its processes, and comes back once others do its work
        submitted[5][1].result(timeout=30)
        kill(first.process.pid)
        eventually(lambda: ran_elsewhere(ledger), timeout_s=60)
        start_workers("inst0", env=short)
        submitted += submit(client, agents, rounds=2)
        results = [job.outcome(timeout=90) for _, job in submitted]
    # Then each job succeeded, once, and in the order of its agent
    assert {result.state for result in results} == {State.SUCCEEDED}
    for result in results:
        kinds = [event.kind for event in stream.replay(ledger, result.job_id)]
        assert kinds.count("end") == 1
        assert text_of(stream.replay(ledger, result.job_id)) == result.text
    assert {"inst0"} < {result.instance for result in results}
    assert results[-1].instance == "inst0"
    retried = {result.job_id for result in results if result.attempt > 1}
    assert len(retried) <= 1  # the one that ran
    claimed = {job.id: int(ledger.redis.hget(keys.job(job.id), "claimed")) for _, job in submitted}
    for ids in by_agent(
        [job.id for _, job in submitted if job.id not in retried], submitted
    ).values():
        assert [claimed[job_id] for job_id in ids] == sorted(claimed[job_id] for job_id in ids)


def kill(pid: int) -> None:
    """Ends a worker and its children for good, at once."""
    worker = psutil.Process(pid)
    for process in (worker, *worker.children(recursive=True)):
        process.kill()


def ran_elsewhere(ledger: Ledger) -> bool:
    """Whether another instance than inst0 runs a job."""
    return any(ledger.redis.zcard(keys.running(name)) for name in ("inst1", "inst2"))
