"""Redis is killed and started again."""

from __future__ import annotations

import os
import signal
import time

import pytest
import redis

from ledger import keys
from ledger.redis_client import Ledger
from ledger.stream import follow
from producer import LLMClient, RedisUnavailable
from tests.support.readers import Readers
from tests.support.redis_faults import SLOW, ask, ended_once
from tests.support.sentences import is_one_sentence
from tests.support.waiting import eventually
from tests.support.workers import Worker
from tests.torture.server import Server

BACK_WITHIN_S = 10  # seconds, as the promise is; the worker looks every two


def test_readers_and_jobs_go_on_after_redis_was_killed_and_started_again(
    server: Server, client: LLMClient, worker: Worker
) -> None:
    # Given a job that runs and is read, and three that wait
    running = ask(client, SLOW)
    readers = Readers(client, running)
    waiting = [ask(client, "hello") for _ in range(3)]

    # When
    server.kill_and_restart()
    back = time.monotonic()

    # Then
    assert readers.texts() == [ended_once(running).text] * 4
    for job in waiting:
        ended_once(job)
    assert ended_once(ask(client, "hello"))
    assert time.monotonic() - back < BACK_WITHIN_S
    assert worker.process.poll() is None


def test_killed_processes_are_noticed_at_once_also_after_redis_was_started_again(
    server: Server, client: LLMClient, admin: redis.Redis, ledger: Ledger, worker: Worker
) -> None:
    # Given a worker that has lost its connection, and with it the timers of Celery's event loop
    ended_once(ask(client, "hello"))
    server.kill_and_restart()
    ended_once(ask(client, "hello"))
    job = ask(client, SLOW)
    # When the process is killed, and the one after it too
    events = follow(ledger, job.id, timeout_s=30)
    for attempt in (1, 2):
        next(event for event in events if event.kind == "chunk" and event.attempt == attempt)
        os.kill(int(admin.hget(keys.job(job.id), "pid") or 0), signal.SIGKILL)
        killed = time.monotonic()
        # Then
        next(event for event in events if event.failed)
        assert time.monotonic() - killed < 3  # 0.2 s; Celery itself looks every 5 s
    job.cancel()


def test_who_comes_while_redis_loads_its_data_is_told_so(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    # Given a server that takes some seconds to load its 1,000 keys
    job = ask(client, "hello")
    ended_once(job)
    admin.mset({f"filler:{number}": "x" * 100 for number in range(1000)})
    admin.bgrewriteaof()
    eventually(lambda: not admin.info("persistence")["aof_rewrite_in_progress"])
    server.options |= {"key-load-delay": "3000", "loading-process-events-interval-bytes": "1024"}

    # When
    server.kill_and_restart()

    # Then
    with pytest.raises(RedisUnavailable, match="is still loading its data; try again") as refused:
        ask(client)
    assert is_one_sentence(refused.value)
    eventually(lambda: can_be_asked(client))
    ended_once(job)
    ended_once(ask(client, "hello"))


def can_be_asked(client: LLMClient) -> bool:
    try:
        return bool(client.get_stats())
    except RedisUnavailable:
        return False
