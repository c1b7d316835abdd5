"""`apexq jobs` and `apexq models`, run as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from producer import Job, LLMClient
from producer.local import LocalStack
from tests.support.command import DONE_S, apexq, assert_one_line
from tests.support.gates import closed_gate

SECRET = "the-aardvark-sings-at-noon"


@pytest.fixture
def client(stack: LocalStack) -> Iterator[LLMClient]:
    with LLMClient(stack.settings) as client:
        yield client


@contextmanager
def waiting(client: LLMClient, *priorities: str, tenant: str = "default") -> Iterator[list[Job]]:
    """A job that keeps inst0 busy, and behind it jobs that wait."""
    gate = closed_gate(client, agent_id="Planner")
    jobs = [
        client.submit(SECRET, agent_id="Planner", priority=one, tenant=tenant) for one in priorities
    ]
    try:
        yield [gate, *jobs]
    finally:
        for job in (gate, *jobs):
            job.cancel()
            job.outcome(timeout=DONE_S)


def in_order(stack: LocalStack, *flags: str) -> list[str]:
    found = json.loads(apexq("jobs", "list", "--json", *flags, url=stack.redis_url).stdout)
    return [one["job_id"] for one in found["jobs"]]


def listed(stack: LocalStack, *flags: str) -> set[str]:
    return set(in_order(stack, *flags))


def test_list_shows_what_runs_and_what_waits_in_its_order_and_no_prompt(
    stack: LocalStack, client: LLMClient
) -> None:
    with waiting(client, "LOW", "NORMAL", "URGENT") as (gate, low, normal, urgent):
        done = apexq("jobs", "list", url=stack.redis_url)
    assert done.returncode == 0
    rows = [line.split()[:4] for line in done.stdout.splitlines()[1:]]
    assert rows == [
        [gate.id, "running", "URGENT", "inst0"],
        [urgent.id, "queued", "URGENT", "inst0"],
        [normal.id, "queued", "NORMAL", "inst0"],
        [low.id, "queued", "LOW", "inst0"],
    ]
    assert SECRET not in done.stdout


def test_list_takes_a_tenant_an_instance_a_state_and_a_limit(
    stack: LocalStack, client: LLMClient
) -> None:
    with waiting(client, "NORMAL", "NORMAL", "NORMAL", tenant="acme") as (gate, *jobs):
        ids = {job.id for job in jobs}
        assert listed(stack, "--tenant", "acme") == ids
        assert listed(stack, "--state", "waiting") == ids
        assert listed(stack, "--state", "running") == {gate.id}
        assert len(listed(stack, "--limit", "2") & ids) == 1
        assert listed(stack, "--instance", "inst1") == set()
        cut = apexq("jobs", "list", "--limit", "1", url=stack.redis_url).stdout
    assert "… and more" in cut


def test_list_finds_ended_jobs_the_latest_first(stack: LocalStack, client: LLMClient) -> None:
    ended = [client.submit("hello", agent_id="Coder", tenant="past") for _ in range(3)]
    for job in ended:
        job.result(timeout=DONE_S)
    failed = client.submit("[[mock error_at=1]]", agent_id="Coder", tenant="past")
    failed.outcome(timeout=DONE_S)
    of_past = ("--tenant", "past", "--state")
    everything = [failed.id, *(job.id for job in reversed(ended))]
    assert in_order(stack, *of_past, "ended") == everything
    assert listed(stack, *of_past, "failed") == {failed.id}
    assert listed(stack, *of_past, "live") == set()


def test_list_says_when_there_are_none(stack: LocalStack) -> None:
    done = apexq("jobs", "list", "--tenant", "nobody", url=stack.redis_url)
    assert (done.returncode, done.stdout) == (
        0,
        "No such jobs; --state ended lists those that have ended.\n",
    )


def test_show_has_a_job_in_full_but_for_its_prompt(stack: LocalStack, client: LLMClient) -> None:
    with waiting(client, "NORMAL", tenant="acme") as (_, job):
        said = apexq("jobs", "show", job.id, url=stack.redis_url).stdout
        found = json.loads(apexq("jobs", "show", job.id, "--json", url=stack.redis_url).stdout)
    assert "why               behind 1 running on inst0" in said
    assert (found["tenant"], found["agent_id"], found["position"]) == ("acme", "Planner", 1)
    assert found["result"] is None
    assert SECRET not in said + json.dumps(found)


def test_show_says_what_an_ended_job_has_cost(stack: LocalStack, client: LLMClient) -> None:
    job = client.submit("hello", agent_id="Coder")
    job.result(timeout=DONE_S)
    said = apexq("jobs", "show", job.id, url=stack.redis_url).stdout
    assert "usage             1 + 9" in said
    found = json.loads(apexq("jobs", "show", job.id, "--json", url=stack.redis_url).stdout)
    usage = found["result"]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (1, 9)


def test_cancel_takes_back_what_waits_and_stops_what_runs(
    stack: LocalStack, client: LLMClient
) -> None:
    past = client.submit("hello", agent_id="Coder")
    past.result(timeout=DONE_S)
    with waiting(client, "NORMAL") as (gate, job):
        done = apexq("jobs", "cancel", job.id, gate.id, past.id, url=stack.redis_url)
        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            f"Job {job.id} is cancelled.",
            f"Job {gate.id} is told to stop.",
            f"Job {past.id} had succeeded before.",
        ]
        assert gate.outcome(timeout=DONE_S).state == "cancelled"


@pytest.mark.parametrize("action", ["show", "cancel"])
def test_a_job_that_there_is_not_is_code_6(stack: LocalStack, action: str) -> None:
    done = apexq("jobs", action, "nobody", url=stack.redis_url)
    assert (done.returncode, done.stdout) == (6, "")
    assert_one_line(done.stderr, "Job nobody is not in the ledger")


def test_models_shows_who_serves_what(stack: LocalStack) -> None:
    done = apexq("models", url=stack.redis_url)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split() == [
        *("mock", "mock", "-", "2", "2", "of", "2", "inst0,", "inst1", "-", "-")
    ]
    found = json.loads(apexq("models", "--json", url=stack.redis_url).stdout)
    assert found["models"][0] == {
        "model": "mock",
        "backends": ["mock"],
        "window": 0,
        "slots": 2,
        "ready": 2,
        "instances": [{"name": "inst0", "state": "ready"}, {"name": "inst1", "state": "ready"}],
        "abilities": ["chat", "continues", "seed", "stop", "temperature", "top_k", "top_p"],
        "fallbacks": [],
    }
