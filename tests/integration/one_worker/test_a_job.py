"""A job goes from a caller to its instance and streams back."""

from __future__ import annotations

import asyncio
import threading

import pytest
from celery.result import AsyncResult

from ledger.settings import Settings
from producer import AsyncLLMClient, BudgetExceeded, Job, JobCancelled, JobDead, LLMClient
from tests.support.numbered import numbers
from tests.support.waiting import eventually
from tests.support.workers import Worker


def joined(job: Job, after: int = 0) -> str:
    return "".join(event.text for event in job.stream(after=after, timeout_s=20))


def test_its_chunks_joined_are_its_result_and_celerys_result(
    client: LLMClient, settings: Settings
) -> None:
    job = client.submit("[[mock tokens=20 tps=400]]", agent_id="Planner")

    text = joined(job)

    assert len(text.split()) == 20
    assert job.result(timeout=5).text == text
    from workers.celery_app import create_app

    app = create_app(settings)
    assert AsyncResult(job.id, app=app).get(timeout=5) == text
    assert AsyncResult(job.id, app=app).state == "SUCCESS"


def test_readers_at_the_start_in_the_middle_and_after_the_end_get_the_same_text(
    client: LLMClient,
) -> None:
    job = client.submit("[[mock tokens=60 tps=200]]", agent_id="a")
    texts: dict[str, str] = {}
    in_the_middle = threading.Event()

    def from_the_start() -> None:
        parts = []
        for event in job.stream(timeout_s=20):
            parts.append(event.text)
            if event.seq == 20:
                in_the_middle.set()
        texts["start"] = "".join(parts)

    reader = threading.Thread(target=from_the_start)
    reader.start()
    assert in_the_middle.wait(20)
    texts["middle"] = joined(job)
    reader.join(20)
    texts["end"] = joined(job)

    assert set(texts.values()) == {job.result(timeout=5).text}


def test_a_reader_that_comes_back_goes_on_after_its_cursor(client: LLMClient) -> None:
    job = client.submit("[[mock tokens=30 tps=300]]", agent_id="a")
    whole = joined(job)

    for seen in range(0, 30, 7):
        before = "".join(e.text for e in job.stream() if e.seq <= seen)
        assert before + joined(job, after=seen) == whole


def test_a_killed_process_is_followed_by_another_attempt_that_goes_on_from_the_text(
    client: LLMClient,
) -> None:
    job = client.submit("[[mock tokens=40 tps=200 crash_at=20]]", agent_id="a")

    result = job.result(timeout=20)

    assert result.attempt == 2
    assert numbers(result.text) == list(range(40))
    assert result.usage.completion_tokens == 40
    assert joined(job) == result.text


def test_a_job_that_kills_every_process_is_dead_after_three_attempts(client: LLMClient) -> None:
    poison = client.submit("[[mock tokens=5 crash_at=1 crashes=99]]", agent_id="a")
    neighbour = client.submit("hello", agent_id="b")

    with pytest.raises(JobDead, match="after 3 attempts"):
        poison.result(timeout=30)
    assert neighbour.result(timeout=20).text.startswith("Hello")
    assert client.get_stats()["tokens_held"] == 0


def test_an_urgent_job_does_not_wait_for_a_low_one(client: LLMClient) -> None:
    low = client.submit("[[mock tokens=400 tps=200]]", agent_id="a", priority="LOW")
    assert next(low.stream(timeout_s=10)).kind == "chunk"

    urgent = client.complete("hello", agent_id="b", priority="URGENT")

    assert low.status().state in ("queued", "running")
    assert urgent.timings.total_ms < 1000
    result = low.result(timeout=20)
    assert numbers(result.text) == list(range(400))
    assert result.attempt == 1
    assert joined(low) == result.text


def test_a_running_job_that_is_cancelled_stops_and_is_charged_for_what_it_made(
    client: LLMClient,
) -> None:
    job = client.submit("[[mock tokens=2000 tps=100]]", agent_id="a", max_tokens=3000)
    events = job.stream(timeout_s=10)
    next(events)

    assert job.cancel() == "stopping"

    with pytest.raises(JobCancelled):
        job.result(timeout=5)
    made = job.outcome().usage
    assert 1 <= made.completion_tokens < 2000
    stats = client.get_stats()
    assert stats["tokens_used"] == made.total_tokens
    assert stats["tokens_held"] == 0


def test_a_hung_job_that_is_cancelled_before_its_first_token_ends_too(
    client: LLMClient, worker: Worker
) -> None:
    job = client.submit("[[mock tokens=5 hang_at=0]]", agent_id="a")
    eventually(lambda: job.status().state == "running")

    assert job.cancel() == "stopping"

    with pytest.raises(JobCancelled):
        job.result(timeout=10)
    assert client.complete("hello", agent_id="b").state == "succeeded"
    assert worker.process.poll() is None


def test_a_chat_is_a_request_of_several_turns(client: LLMClient) -> None:
    turns = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "hello"},
    ]

    result = client.chat(turns, agent_id="a")

    assert result.text.startswith("Hello")
    assert result.usage.prompt_tokens == 4


def test_the_asyncio_client_does_the_same(settings: Settings) -> None:
    async def scene() -> None:
        async with AsyncLLMClient(settings) as client:
            parts = [e.text async for e in client.stream("[[mock tokens=9 tps=300]]", agent_id="a")]
            assert len("".join(parts).split()) == 9
            jobs = await client.submit_many(
                [{"prompt": f"[[mock say=answer-{n}]]", "agent_id": f"a{n}"} for n in range(200)]
            )
            results = await asyncio.gather(*(job.result(timeout=30) for job in jobs))
            assert [result.text for result in results] == [f"answer-{n}" for n in range(200)]
            async with client.episode("e", token_budget=100) as episode:
                with pytest.raises(BudgetExceeded):
                    await episode.complete("hello", agent_id="a", max_tokens=500)
                await episode.complete("hello", agent_id="a", max_tokens=10)
                assert (await episode.get_stats())["budget"] == 100
                assert await episode.progress("tests_run") > 0
            stats = await client.get_stats()
            assert stats["tokens_held"] == 0
            assert stats["tokens_used"] > 0

    asyncio.run(scene())
