"""Sixteen slots keep vLLM's batch as full as a client of its own would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count, pairwise
from random import Random
from statistics import median
from typing import Any

import pytest

pytest.importorskip("openai")

import openai

from producer import LLMClient
from tests.support.vllm_server import NAME, VllmServer
from tests.vllm.conftest import Serve, Tell
from tests.vllm.tables import ENDLESS, asked

SLOTS, REQUESTS, ROUNDS = 16, 48, 5
pytestmark = pytest.mark.timeout(1800)
_numbers, _random = count(), Random(1)


def some(how_many: int) -> list[dict[str, Any]]:
    """New requests, for answers of different lengths."""
    return [asked(next(_numbers), _random.randint(64, 192)) for _ in range(how_many)]


def direct(url: str, requests: Sequence[dict[str, Any]]) -> float:
    """Tokens per second of an asyncio client with SLOTS streams in flight."""

    async def one(client: Any, gate: asyncio.Semaphore, request: dict[str, Any]) -> int:
        async with gate:
            stream = await client.chat.completions.create(
                model=NAME,
                messages=[{"role": "user", "content": request["prompt"]}],
                max_tokens=request["max_tokens"],
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
                extra_body=ENDLESS,
            )
            used = [chunk.usage.completion_tokens async for chunk in stream if chunk.usage]
            return int(used[-1])

    async def all_of_them() -> float:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            gate = asyncio.Semaphore(SLOTS)
            start = time.monotonic()
            made = await asyncio.gather(*(one(client, gate, request) for request in requests))
            return sum(made) / (time.monotonic() - start)

    return asyncio.run(all_of_them())


def queued(client: LLMClient, instance: str, requests: Sequence[dict[str, Any]]) -> float:
    """Tokens per second through the queue and real workers."""
    start = time.monotonic()
    jobs = client.submit_many([{**request, "instance": instance} for request in requests])
    results = [job.result(timeout=600) for job in jobs]
    made = sum(result.usage.completion_tokens for result in results)
    assert made == sum(request["max_tokens"] for request in requests)
    return made / (time.monotonic() - start)


def test_sixteen_slots_are_nearly_as_fast_as_asking_the_server_directly(
    client: LLMClient, serve: Serve, server: VllmServer, tell: Tell
) -> None:
    # Given one server, and two instances on it
    url = server.url
    serve(url, name="inst0", slots=SLOTS)
    serve(url, name="inst1", slots=1)
    direct(url, some(SLOTS))
    # When each is measured in turn, since the machine may have more to do at one time than another
    asking, queue, one_slot = [direct(url, some(REQUESTS))], [], []
    for _ in range(ROUNDS):
        queue.append(queued(client, "inst0", some(REQUESTS)))
        asking.append(direct(url, some(REQUESTS)))
        one_slot.append(queued(client, "inst1", some(2)))
    # Then
    beside = [(before + after) / 2 for before, after in pairwise(asking)]
    of_direct = median(one / other for one, other in zip(queue, beside, strict=True))
    of_one_slot = median(one / other for one, other in zip(queue, one_slot, strict=True))
    for name, rates in (("direct", asking), ("16 slots", queue), ("1 slot", one_slot)):
        tell(f"{name}: {', '.join(f'{rate:.0f}' for rate in rates)} tokens/s")
    tell(f"16 slots are {of_direct:.2f} of direct and {of_one_slot:.1f} times 1 slot")
    assert of_direct >= 0.9
    assert of_one_slot >= 4
