"""Redis forgets the scripts that it was sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import redis

from producer import AsyncLLMClient, Job, LLMClient
from tests.support.redis_faults import SLOW, ask, ended_once
from tests.support.workers import Worker
from tests.torture.server import Server


def test_nobody_notices_that_the_scripts_are_flushed(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    # Given a job that runs, while scripts are flushed over and over
    running = ask(client, SLOW)
    with over_and_over(admin.script_flush):
        # When
        many = [{"prompt": "hello", "agent_id": f"a{number}"} for number in range(300)]
        jobs = client.submit_many(many)
        jobs += asyncio.run(submit_many_async(client, many))

        # Then
        assert not [job.refused for job in jobs if job.refused]
        assert "".join(event.text for event in running.stream()) == ended_once(running).text
        assert jobs[0].cancel()


async def submit_many_async(client: LLMClient, many: list[dict[str, str]]) -> list[Job]:
    async with AsyncLLMClient(client.settings) as other:
        await other.submit("hello", agent_id="a")
        jobs = await other.submit_many(many)
    assert not [job.refused for job in jobs if job.refused]
    return [client.job(job.id) for job in jobs]


@contextmanager
def over_and_over(act: Callable[[], object]) -> Iterator[None]:
    """Does something fifty times a second, in a thread."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.wait(0.02):
            act()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            stopped.set()
        working.result(10)
