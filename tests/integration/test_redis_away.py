"""A Redis that cannot be reached, or does not answer, ends every call within the time-outs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.redis_client import CONNECTION, Ledger
from ledger.settings import load_settings
from producer import AsyncLLMClient, Job, LLMClient, RedisUnavailable
from tests.support import attempts, servers
from tests.support.registering import register
from tests.support.sentences import is_one_sentence
from tests.support.waiting import eventually
from tests.support.workers import working


def test_a_closed_port_is_an_error_at_once_for_every_call() -> None:
    url = f"redis://:secret@127.0.0.1:{servers.free_port()}/0"
    settings = load_settings(env={}, redis_url=url)
    with LLMClient(settings) as client:
        started = time.monotonic()
        for call in calls_of(client, client.job("unheard-of")):
            with pytest.raises(RedisUnavailable, match="check REDIS_URL") as refused:
                call()
            assert is_one_sentence(refused.value)
            assert "secret" not in str(refused.value)
        assert time.monotonic() - started < 5

    async def awaited() -> None:
        async with AsyncLLMClient(settings) as client:
            with pytest.raises(RedisUnavailable):
                await client.submit("hello", agent_id="a")
            with pytest.raises(RedisUnavailable):
                await client.job("unheard-of").result()

    asyncio.run(awaited())


def calls_of(client: LLMClient, job: Job) -> list[Callable[[], object]]:
    return [
        lambda: client.submit("hello", agent_id="a"),
        lambda: client.submit_many([{"prompt": "hello", "agent_id": "a"}]),
        lambda: next(client.stream("hello", agent_id="a")),
        lambda: next(job.stream()),
        job.result,
        job.status,
        job.cancel,
        client.get_stats,
    ]


def test_a_frozen_redis_is_an_error_after_one_time_out_for_every_call(tmp_path: Path) -> None:
    # Given a job that was read from, and one that waits
    with (
        servers.server(servers.embedded(), tmp_path) as (url, process),
        LLMClient(load_settings(env={}, redis_url=url)) as client,
    ):
        ledger = Ledger(url)
        register(ledger)
        running = client.submit("hello", agent_id="a")
        make_one_chunk(ledger, running)
        read_from = running.stream()
        assert next(read_from).text == "Hello"
        waiting = client.submit("hello", agent_id="a")

        async def submit() -> None:
            async with AsyncLLMClient(client.settings) as awaited:
                await awaited.submit("hello", agent_id="a")

        def submit_again() -> Job:
            return client.submit("once", agent_id="b", idempotency_key="the one")

        # When
        with frozen(process.pid):
            took = time_of_refusals(
                *calls_of(client, waiting),
                lambda: next(read_from),
                lambda: asyncio.run(submit()),
                submit_again,
            )

        # Then
        assert max(took) < CONNECTION["socket_timeout"] + 5
        assert submit_again().id == submit_again().id
        assert client.submit("hello", agent_id="a").status().state == "queued"
        ledger.close()


def test_a_frozen_redis_ends_an_awaited_result_after_one_time_out(tmp_path: Path) -> None:
    with servers.server(servers.embedded(), tmp_path) as (url, process):
        settings = load_settings(env={}, redis_url=url)

        async def result() -> None:
            async with AsyncLLMClient(settings) as client:
                await client.job("any").result()

        with frozen(process.pid):
            (took,) = time_of_refusals(lambda: asyncio.run(result()))

        assert took < CONNECTION["socket_timeout"] + 5


def test_a_worker_looks_for_a_lost_redis_every_two_seconds(tmp_path: Path) -> None:
    with (
        servers.server(servers.embedded(), tmp_path) as (url, process),
        working(url, tmp_path, "inst0") as (worker,),
    ):
        process.kill()

        tries = eventually(lambda: seconds_between_tries(worker.log, at_least=2))

    assert max(tries) <= 2


def seconds_between_tries(log: str, at_least: int) -> list[float]:
    found = re.findall(r"Trying again in ([0-9.]+) seconds", log)
    return [float(seconds) for seconds in found] if len(found) >= at_least else []


def make_one_chunk(ledger: Ledger, job: Job) -> None:
    """What a worker does that claims the job and comes to its first chunk."""
    ledger.run(attempts.emit(attempts.claimed(ledger, job.id), "Hello"))


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A server that is there and does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def time_of_refusals(*calls: Callable[[], object]) -> list[float]:
    """Seconds that each call took to say that Redis does not answer; all are made at once."""

    def refused(call: Callable[[], object]) -> float:
        started = time.monotonic()
        with pytest.raises(RedisUnavailable, match="does not answer") as said:
            call()
        assert is_one_sentence(said.value)
        return time.monotonic() - started

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(refused, calls))
