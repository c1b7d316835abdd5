"""Connections to Redis are cut."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
import redis

from ledger import keys
from producer import AsyncLLMClient, LLMClient
from tests.support.readers import Readers
from tests.support.redis_faults import SLOW, ask, ended_once
from tests.support.waiting import eventually
from tests.support.workers import Worker
from tests.torture.server import Server


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_readers_and_jobs_go_on_when_their_connections_are_cut(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis, kind: str
) -> None:
    running = ask(client, SLOW)
    readers = Readers(client, running)

    admin.client_kill_filter(_type=kind, skipme=True)

    assert readers.texts() == [ended_once(running).text] * 4
    ended_once(ask(client, "hello"))


def test_a_reader_that_was_cut_off_for_being_slow_goes_on_where_it_was(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    # Given a reader that does not read on, and much that is announced to it
    admin.config_set("client-output-buffer-limit", "pubsub 65536 65536 1")
    running = ask(client, SLOW)
    events = running.stream()
    first = next(events)
    seen_before = f"{first.seq} " + "x" * 100_000

    # When
    def cut_off() -> bool:
        return admin.publish(keys.stream(running.id), seen_before) == 0

    eventually(cut_off)

    # Then
    rest = "".join(event.text for event in events)
    assert first.text + rest == ended_once(running).text


def test_a_reader_that_leaves_early_is_unsubscribed_at_once(
    client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    running = ask(client, SLOW)
    channel = keys.stream(running.id)

    def readers() -> int:
        return int(admin.pubsub_numsub(channel)[0][1])

    async def read_a_little() -> None:
        async with AsyncLLMClient(client.settings) as other:
            async with aclosing(other.job(running.id).stream()) as events:
                await anext(events)
                assert readers() == 1
            await asyncio.to_thread(eventually, lambda: readers() == 0)

    asyncio.run(read_a_little())
