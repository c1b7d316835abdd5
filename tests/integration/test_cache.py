"""Answers from the cache, with real workers: at once, for nothing, and never somebody else's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from ledger.errors import IdempotencyConflict
from ledger.messages import State
from ledger.settings import Settings, load_settings
from producer import AsyncLLMClient, BudgetExceeded, LLMClient
from tests.conftest import StartWorkers
from tests.support.command import apexq
from tests.support.waiting import eventually

GREEDY: dict[str, Any] = {"agent_id": "a", "temperature": 0}


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """As somebody has them who says nothing about the cache."""
    return load_settings(env={}, redis_url=redis_url, mock_directives=True)


def test_the_second_of_two_equal_requests_is_answered_from_the_cache_and_costs_nothing(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    first = client.complete("hello", **GREEDY)
    before = client.get_stats()

    job = client.submit("hello", **GREEDY, session_id="s", metadata={"user": "u"})
    second = job.result(timeout=5)

    assert (first.cached, second.cached) == (False, True)
    assert (second.text, second.usage) == (first.text, first.usage)
    assert (second.job_id, second.state) == (job.id, State.SUCCEEDED)
    assert client.get_stats() == before
    assert sum(spent.jobs for spent in client.usage()) == 1


def test_every_kind_of_reader_reads_a_cached_answer(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    from workers.celery_app import create_app

    start_workers("inst0")
    text = client.complete("hello", **GREEDY).text
    job = client.submit("hello", **GREEDY)

    assert "".join(event.text for event in job.stream(timeout_s=5)) == text
    assert list(job.stream(after=1, timeout_s=5)) == []
    assert client.job(job.id).result(timeout=5).text == text
    assert AsyncResult(job.id, app=create_app(client.settings)).get(timeout=5) == text
    assert job.status().state is State.SUCCEEDED
    assert job.cancel() == "succeeded"
    shown = apexq("jobs", "show", job.id, "--json", url=client.settings.redis_url)
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["result"]["text"] == text


def test_a_hit_waits_for_no_queue_and_no_budget(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    client.complete("hello", **GREEDY)
    running = client.submit("[[mock tokens=5000 tps=50]]", agent_id="a", max_tokens=6000)
    next(iter(running.stream(timeout_s=20)))
    client.set_budget("tenant", "default", tokens=1)
    with pytest.raises(BudgetExceeded):
        client.submit("hello you", **GREEDY)

    assert client.submit("hello", **GREEDY).result(timeout=5).cached
    assert running.cancel() == "stopping"


def test_sampled_answers_are_cached_only_where_that_is_wanted(
    client: LLMClient, start_workers: StartWorkers, settings: Settings
) -> None:
    start_workers("inst0")
    sampled = {"agent_id": "a", "temperature": 0.7}
    client.complete("hello", **sampled)
    assert not client.complete("hello", **sampled).cached
    assert not client.complete("hello", **sampled, cache=True).cached
    assert client.complete("hello", **sampled, cache=True).cached
    with LLMClient(settings.model_copy(update={"enable_cache": True})) as always:
        assert always.complete("hello", **sampled).cached
        assert not always.complete("hello", **sampled, cache=False).cached
    with LLMClient(settings.model_copy(update={"enable_cache": False})) as never:
        never.complete("hi", **GREEDY)
        assert not never.complete("hi", **GREEDY).cached


def test_tenants_do_not_get_one_anothers_answers(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    client.complete("hello", **GREEDY, tenant="acme")
    assert not client.complete("hello", **GREEDY, tenant="other").cached
    assert client.complete("hello", **GREEDY, tenant="acme").cached


def test_models_do_not_get_one_anothers_answers(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    two = json.dumps([{"name": "inst0", "model": "big"}, {"name": "inst1", "model": "small"}])
    start_workers("inst0", "inst1", env={"APEX_LLM_INSTANCES": two})
    client.complete("hello", **GREEDY, model="big")
    assert not client.complete("hello", **GREEDY, model="small").cached
    assert client.complete("hello", **GREEDY, model="big").cached


def test_agents_on_two_instances_share_one_run(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0", "inst1")
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


def test_an_idempotency_key_finds_its_job_again_whoever_answered_it(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    client.complete("hello", **GREEDY)
    jobs = [client.submit("hello", **GREEDY, idempotency_key="k") for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    assert jobs[0].result(timeout=5).cached
    with pytest.raises(IdempotencyConflict):
        client.submit("another", **GREEDY, idempotency_key="k")


def test_a_bulk_submit_and_the_asyncio_client_find_answers_too(
    client: LLMClient, start_workers: StartWorkers, settings: Settings
) -> None:
    start_workers("inst0")
    client.complete("hello", **GREEDY)
    prompts = ["hello", "something new", "hello"]

    jobs = client.submit_many([{"prompt": prompt, **GREEDY} for prompt in prompts])

    assert [job.result(timeout=20).cached for job in jobs] == [True, False, True]

    async def scene() -> None:
        async with AsyncLLMClient(settings) as waiting:
            assert (await waiting.complete("hello", **GREEDY)).cached
            many = await waiting.submit_many([{"prompt": prompt, **GREEDY} for prompt in prompts])
            assert [(await job.result(5)).cached for job in many] == [True, True, True]

    asyncio.run(scene())


def test_a_directory_can_be_the_cache(
    settings: Settings, start_workers: StartWorkers, tmp_path: Path
) -> None:
    own = {"LLM_CACHE_DIR": str(tmp_path / "cache")}
    start_workers("inst0", env=own)
    with LLMClient(load_settings(env=settings.to_env() | own)) as client:
        first = client.complete("hello", **GREEDY)
        second = client.complete("hello", **GREEDY)
    assert (first.cached, second.cached) == (False, True)
    assert second.text == first.text
    with LLMClient(settings) as elsewhere:  # it lies in files alone
        assert not elsewhere.complete("hello again", **GREEDY).cached


def test_an_erased_tenant_or_session_has_no_answers_left(
    client: LLMClient, start_workers: StartWorkers, redis_url: str
) -> None:
    start_workers("inst0")
    for prompt, session in (("hello", "s1"), ("hello you", "s2")):
        client.complete(prompt, **GREEDY, tenant="acme", session_id=session)
    client.complete("hello", **GREEDY, tenant="other")
    session_of = ("--tenant", "acme", "--agent", "a", "--session", "s1")

    done = apexq("erase", *session_of, "--yes", "--json", url=redis_url)

    assert json.loads(done.stdout)["erased"]["answers"] == 1
    assert client.complete("hello you", **GREEDY, tenant="acme").cached
    assert "1 cached answers." in apexq("erase", "--tenant", "acme", "--yes", url=redis_url).stdout
    assert not client.complete("hello you", **GREEDY, tenant="acme").cached
    assert client.complete("hello", **GREEDY, tenant="other").cached


def test_a_worker_whose_process_is_killed_leaves_no_one_waiting_for_its_answer(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0", "inst1")
    prompt = "[[mock tokens=20 tps=20 crash_at=5]]"
    first = client.submit(prompt, agent_id="Planner", cache=True)
    eventually(lambda: first.status().state is State.RUNNING)
    second = client.submit(prompt, agent_id="Coder", cache=True)

    results = [job.result(timeout=30) for job in (first, second)]

    assert results[0].attempt == 2
    assert results[1].text == results[0].text
    assert results[1].cached
