"""Answers from the cache, with real workers: at once, for nothing, and never somebody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from ledger.errors import IdempotencyConflict
from ledger.messages import State
from ledger.settings import Settings, load_settings
from producer import AsyncLLMClient, BudgetExceeded, LLMClient
from producer.local import LocalStack
from tests.conftest import StartWorkers
from tests.support.command import apexq
from tests.support.gates import begun
from tests.support.waiting import eventually

GREEDY: dict[str, Any] = {"agent_id": "Planner", "temperature": 0}
SAMPLED: dict[str, Any] = {"agent_id": "Planner", "temperature": 0.7}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Two instances of somebody who says nothing about the cache, and one of another model."""
    tables = [
        {"name": "inst0", "roles": ["Planner"]},
        {"name": "inst1", "roles": ["Coder"]},
        {"name": "inst2", "model": "other"},
    ]
    env = {"APEX_CONFIG": "", "APEX_MOCK_DIRECTIVES": "1", "APEX_LLM_INSTANCES": json.dumps(tables)}
    with LocalStack(instances=None, backend=None, env=env) as stack:
        yield stack


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """One for each test: tenants share no answers."""
    return str(request.node.name)


@pytest.fixture
def client(stack: LocalStack, tenant: str) -> Iterator[LLMClient]:
    with LLMClient(stack.settings, tenant=tenant) as client:
        yield client


def test_the_second_of_two_equal_requests_is_answered_from_the_cache_and_costs_nothing(
    client: LLMClient,
) -> None:
    first = client.complete("hello", **GREEDY)
    before = client.get_stats()

    job = client.submit("hello", **GREEDY, session_id="s", metadata={"user": "u"})
    second = job.result(timeout=5)

    assert (first.cached, second.cached) == (False, True)
    assert (second.text, second.usage) == (first.text, first.usage)
    assert (second.job_id, second.state) == (job.id, State.SUCCEEDED)
    assert client.get_stats() == before
    assert sum(spent.jobs for spent in client.usage()) == 1


def test_every_kind_of_reader_reads_a_cached_answer(client: LLMClient) -> None:
    from workers.celery_app import create_app

    text = client.complete("hello", **GREEDY).text
    job = client.submit("hello", **GREEDY)

    assert "".join(event.text for event in job.stream(timeout_s=5)) == text
    assert list(job.stream(after=1, timeout_s=5)) == []
    assert client.job(job.id).result(timeout=5).text == text
    assert AsyncResult(job.id, app=create_app(client.settings)).get(timeout=5) == text
    assert job.status().state is State.SUCCEEDED
    assert job.cancel() == "succeeded"
    shown = apexq("jobs", "show", job.id, "--json", url=client.settings.redis_url)
    assert json.loads(shown.stdout)["result"]["text"] == text


def test_a_hit_waits_for_no_queue_and_no_budget(client: LLMClient, tenant: str) -> None:
    client.complete("hello", **GREEDY)
    long = "[[mock tokens=5000 tps=50]]"
    running = client.submit(long, agent_id="Planner", max_tokens=6000, cache=False)
    begun(running)
    client.set_budget("tenant", tenant, tokens=1)
    with pytest.raises(BudgetExceeded):
        client.submit("hello you", **GREEDY)

    assert client.submit("hello", **GREEDY).result(timeout=5).cached
    assert running.cancel() == "stopping"


def test_sampled_answers_are_cached_only_where_that_is_wanted(
    client: LLMClient, tenant: str
) -> None:
    client.complete("hello", **SAMPLED)
    assert not client.complete("hello", **SAMPLED).cached
    assert not client.complete("hello", **SAMPLED, cache=True).cached
    assert client.complete("hello", **SAMPLED, cache=True).cached
    settings = client.settings
    with LLMClient(settings.model_copy(update={"enable_cache": True}), tenant=tenant) as always:
        assert always.complete("hello", **SAMPLED).cached
        assert not always.complete("hello", **SAMPLED, cache=False).cached
    with LLMClient(settings.model_copy(update={"enable_cache": False}), tenant=tenant) as never:
        never.complete("hi", **GREEDY)
        assert not never.complete("hi", **GREEDY).cached


def test_tenants_do_not_get_one_anothers_answers(client: LLMClient) -> None:
    client.complete("hello", **GREEDY)
    assert not client.complete("hello", **GREEDY, tenant="other").cached
    assert client.complete("hello", **GREEDY).cached


def test_models_do_not_get_one_anothers_answers(client: LLMClient) -> None:
    client.complete("hello", **GREEDY, model="mock")
    assert not client.complete("hello", **GREEDY, model="other").cached
    assert client.complete("hello", **GREEDY, model="mock").cached


def test_agents_on_two_instances_share_one_run(client: LLMClient) -> None:
    prompt = "[[mock tokens=20 tps=40]] hello"

    jobs = [
        client.submit(prompt, agent_id=agent, cache=True)
        for agent in ("Planner", "Coder", "Planner", "Coder")
    ]
    results = [job.result(timeout=20) for job in jobs]

    assert sorted(result.cached for result in results) == [False, True, True, True]
    assert len({result.text for result in results}) == 1
    assert {result.instance for result in results} == {"inst0", "inst1"}
    assert client.get_stats()["tokens_used"] == results[0].usage.total_tokens
    assert client.get_stats()["tokens_held"] == 0


def test_an_idempotency_key_finds_its_job_again_whoever_answered_it(client: LLMClient) -> None:
    client.complete("hello", **GREEDY)
    jobs = [client.submit("hello", **GREEDY, idempotency_key="k") for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    assert jobs[0].result(timeout=5).cached
    with pytest.raises(IdempotencyConflict):
        client.submit("another", **GREEDY, idempotency_key="k")


def test_a_bulk_submit_and_the_asyncio_client_find_answers_too(
    client: LLMClient, tenant: str
) -> None:
    client.complete("hello", **GREEDY)
    prompts = ["hello", "something new", "hello"]

    jobs = client.submit_many([{"prompt": prompt, **GREEDY} for prompt in prompts])

    assert [job.result(timeout=20).cached for job in jobs] == [True, False, True]

    async def scene() -> None:
        async with AsyncLLMClient(client.settings, tenant=tenant) as waiting:
            assert (await waiting.complete("hello", **GREEDY)).cached
            many = await waiting.submit_many([{"prompt": prompt, **GREEDY} for prompt in prompts])
            assert [(await job.result(5)).cached for job in many] == [True, True, True]

    asyncio.run(scene())


def test_an_erased_session_or_tenant_has_no_answers_left(client: LLMClient, tenant: str) -> None:
    for prompt, session in (("hello", "s1"), ("hello you", "s2")):
        client.complete(prompt, **GREEDY, session_id=session)
    client.complete("hello", **GREEDY, tenant="not-erased")
    url = client.settings.redis_url
    session_of = ("--tenant", tenant, "--agent", "Planner", "--session", "s1")

    done = apexq("erase", *session_of, "--yes", "--json", url=url)

    assert json.loads(done.stdout)["erased"]["answers"] == 1
    assert client.complete("hello you", **GREEDY).cached
    assert "1 cached answers." in apexq("erase", "--tenant", tenant, "--yes", url=url).stdout
    assert not client.complete("hello you", **GREEDY).cached
    assert client.complete("hello", **GREEDY, tenant="not-erased").cached


def test_a_process_that_is_killed_leaves_no_one_waiting_for_its_answer(client: LLMClient) -> None:
    prompt = "[[mock tokens=20 tps=20 crash_at=5]]"
    first = client.submit(prompt, agent_id="Planner", cache=True)
    eventually(lambda: first.status().state is State.RUNNING)
    second = client.submit(prompt, agent_id="Coder", cache=True)

    results = [job.result(timeout=30) for job in (first, second)]

    assert results[0].attempt == 2
    assert results[1].text == results[0].text
    assert results[1].cached


def test_a_directory_can_be_the_cache(
    settings: Settings, start_workers: StartWorkers, tmp_path: Path
) -> None:
    own = {"LLM_CACHE_DIR": str(tmp_path / "cache"), "LLM_ENABLE_CACHE": "true"}
    start_workers("inst0", env=own)

    with LLMClient(load_settings(env=settings.to_env() | own)) as client:
        first, second = (client.complete("hello", **SAMPLED) for _ in range(2))

    assert (first.cached, second.cached) == (False, True)
    assert second.text == first.text
    assert len(list(tmp_path.glob("cache/*/*.json"))) == 1
