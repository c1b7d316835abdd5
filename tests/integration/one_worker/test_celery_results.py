"""Who asks Celery for a job's result gets what the ledger has."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.result import AsyncResult, ResultSet

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import Job, JobCancelled, JobFailed, LLMClient
from tests.support.gates import closed_gate
from tests.support.waiting import eventually
from workers.celery_app import create_app


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    """The app as another process makes it, to ask about results and events."""
    app = create_app(settings)
    yield app
    app.close()


def test_celerys_results_follow_the_ledger(client: LLMClient, app: Celery) -> None:
    # Given
    succeeded, another, failed, dead = (
        client.submit(prompt, agent_id="a")
        for prompt in ("hello", "plan", "[[mock error_at=0]]", "[[mock crash_at=0 crashes=9]]")
    )
    for job in (succeeded, another, failed, dead):
        job.outcome(timeout=20)
    running = closed_gate(client)
    waiting, cancelled = (client.submit("hello", agent_id="a") for _ in range(2))
    cancelled.cancel()

    def result(job: Job) -> AsyncResult:
        return AsyncResult(job.id, app=app)

    # Then
    jobs = (succeeded, failed, dead, running, waiting, cancelled)
    assert [result(job).state for job in jobs] == [
        *("SUCCESS", "FAILURE", "FAILURE", "STARTED", "PENDING", "REVOKED")
    ]
    assert AsyncResult("unheard-of", app=app).state == "PENDING"
    assert result(succeeded).successful()
    assert result(succeeded).get(timeout=5) == succeeded.result().text
    both = ResultSet([result(succeeded), result(another)], app=app)
    assert both.get(timeout=5) == [succeeded.result().text, another.result().text]
    with pytest.raises(JobFailed, match="The mock was told to fail here"):
        result(failed).get(timeout=5)
    with pytest.raises(JobFailed, match="given up after 3 attempts"):
        result(dead).get(timeout=5)
    with pytest.raises(JobCancelled, match="was cancelled"):
        result(cancelled).get(timeout=5)
    assert isinstance(result(failed).get(timeout=5, propagate=False), JobFailed)
    running.cancel()


def test_who_waits_for_a_celery_result_hears_its_end(client: LLMClient, app: Celery) -> None:
    # Given
    gate = closed_gate(client)
    jobs = {
        "succeeds": client.submit("hello", agent_id="a"),
        "fails": client.submit("[[mock error_at=0]]", agent_id="a"),
        "is cancelled while it waits": client.submit("hello", agent_id="a"),
        "is cancelled while it runs": gate,
    }
    got: dict[str, object] = {}

    def wait_for(name: str) -> None:
        got[name] = AsyncResult(jobs[name].id, app=app).get(timeout=15, propagate=False)

    waiters = [threading.Thread(target=wait_for, args=(name,)) for name in jobs]
    for waiter in waiters:
        waiter.start()
    # When
    eventually(lambda: all(listeners(client, job) for job in jobs.values()))
    jobs["is cancelled while it waits"].cancel()
    gate.cancel()
    for waiter in waiters:
        waiter.join(20)
    # Then
    assert got.pop("succeeds") == jobs["succeeds"].result().text
    assert {name: type(error).__name__ for name, error in got.items()} == {
        "fails": "JobFailed",
        "is cancelled while it waits": "JobCancelled",
        "is cancelled while it runs": "JobCancelled",
    }


def listeners(client: LLMClient, job: Job) -> int:
    """How many wait for the job as a Celery result."""
    channel = keys.celery_meta(job.id)
    with Ledger(client.settings.redis_url).redis as redis:
        return int(redis.pubsub_numsub(channel)[0][1])
