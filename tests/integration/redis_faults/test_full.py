"""Redis has no memory left."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from ledger.messages import State
from ledger.redis_client import Ledger
from producer import Job, LLMClient, RedisUnavailable
from tests.support.gates import begun
from tests.support.redis_faults import SLOW, ask, ended_once, full
from tests.support.registering import register
from tests.support.sentences import is_one_sentence
from tests.support.workers import Worker, working
from tests.torture.server import Server


def test_jobs_go_on_to_their_ends_when_redis_is_full_and_new_ones_are_refused(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis, tmp_path: Path
) -> None:
    # Given one that runs and three that wait
    running = ask(client, SLOW)
    begun(running)
    first, second, third = (ask(client, "hello") for _ in range(3))

    # When
    with full(admin, tmp_path):
        with pytest.raises(RedisUnavailable, match=r"is full.*raise its maxmemory") as refused:
            ask(client)
        (job,) = client.submit_many([{"prompt": "hello", "agent_id": "a"}])

        # Then
        assert is_one_sentence(refused.value)
        assert "is full" in str(job.refused)
        assert third.cancel() == "cancelled"
        for each in (running, first, second):
            ended_once(each)
    ended_once(ask(client, "hello"))


def test_a_worker_starts_and_works_when_redis_is_full(
    server: Server, client: LLMClient, admin: redis.Redis, tmp_path: Path
) -> None:
    with working(server.url, tmp_path, "inst0"):
        pass
    waiting = ask(client, "hello")

    with full(admin, tmp_path), working(server.url, tmp_path, "inst0"):
        ended_once(waiting)


@pytest.fixture
def waiting(client: LLMClient, ledger: Ledger) -> Job:
    """A job of an instance without a worker."""
    register(ledger)
    return ask(client)


def test_a_full_redis_still_says_where_a_job_stands(
    client: LLMClient, waiting: Job, admin: redis.Redis, tmp_path: Path
) -> None:
    with full(admin, tmp_path):
        assert waiting.status().state is State.QUEUED


def test_a_full_redis_is_named_to_each_of_many_submits(
    server: Server, client: LLMClient, waiting: Job, admin: redis.Redis, tmp_path: Path
) -> None:
    with full(admin, tmp_path):
        (job,) = client.submit_many([{"prompt": "hello", "agent_id": "a"}])

    assert server.url in str(job.refused)
