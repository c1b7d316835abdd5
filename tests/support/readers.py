"""Everybody who may wait for one job."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from producer import AsyncLLMClient, Job, LLMClient


class Readers:
    """They wait over its stream, for its end, and both with asyncio."""

    def __init__(self, client: LLMClient, job: Job) -> None:
        self._client, self._job = client, job
        self._reading = threading.Barrier(3)
        self._pool = ThreadPoolExecutor(4)
        self._texts: list[Future[str]] = [
            self._pool.submit(self._read),
            self._pool.submit(lambda: asyncio.run(self._read_async())),
            self._pool.submit(lambda: job.result(60).text),
            self._pool.submit(lambda: asyncio.run(self._await_result())),
        ]
        self._reading.wait(10)

    def texts(self) -> list[str]:
        """What each has in the end."""
        with self._pool:
            return [text.result(60) for text in self._texts]

    def _read(self) -> str:
        events = self._job.stream()
        first = next(events).text
        self._reading.wait(10)
        return first + "".join(event.text for event in events)

    async def _read_async(self) -> str:
        async with AsyncLLMClient(self._client.settings) as client:
            events = client.job(self._job.id).stream()
            first = (await anext(events)).text
            await asyncio.to_thread(self._reading.wait, 10)
            return first + "".join([event.text async for event in events])

    async def _await_result(self) -> str:
        async with AsyncLLMClient(self._client.settings) as client:
            return (await client.job(self._job.id).result(60)).text
