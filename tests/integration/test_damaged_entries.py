"""A damaged ledger entry is named to who asks for it, and costs its own job only."""

from __future__ import annotations

import asyncio

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import AsyncLLMClient, CorruptEntry, LLMClient
from tests.conftest import StartWorkers
from tests.support.damage import (
    OF_ITS_HASH,
    OF_ITS_REQUEST,
    OF_ITS_STREAM,
    Damage,
    junk_result,
    lacks,
)
from tests.support.gates import closed_gate
from tests.support.registering import register
from tests.support.sentences import is_one_sentence

SAYS = r"damaged.*; submit the request again"


@pytest.mark.parametrize("damage", OF_ITS_HASH.values(), ids=OF_ITS_HASH)
def test_a_damaged_entry_is_named_to_whoever_asks_for_it(
    client: LLMClient, ledger: Ledger, damage: Damage
) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    damage(ledger.redis, job.id)

    for call in (job.result, job.status, job.cancel):
        with pytest.raises(CorruptEntry, match=SAYS) as said:
            call()
        assert is_one_sentence(said.value)


def test_a_damaged_entry_is_named_to_whoever_reads_its_stream(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    for name in ("no hash", "no state", "a fence that is no number"):
        job = client.submit("hello", agent_id="a")
        OF_ITS_HASH[name](ledger.redis, job.id)

        with pytest.raises(CorruptEntry):
            next(job.stream(timeout_s=1.5))


@pytest.mark.parametrize("damage", OF_ITS_STREAM.values(), ids=OF_ITS_STREAM)
def test_a_damaged_stream_is_named_to_its_reader(
    client: LLMClient, settings: Settings, ledger: Ledger, damage: Damage
) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")
    damage(ledger.redis, job.id)

    with pytest.raises(CorruptEntry, match=SAYS) as said:
        next(job.stream())
    assert is_one_sentence(said.value)

    async def awaited() -> None:
        async with AsyncLLMClient(settings) as client:
            with pytest.raises(CorruptEntry):
                await anext(client.job(job.id).stream())

    asyncio.run(awaited())


def test_a_damaged_entry_costs_its_own_job_only(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given
    (worker,) = start_workers("inst0")
    harmful = OF_ITS_HASH | OF_ITS_REQUEST | OF_ITS_STREAM
    for name, damage in harmful.items():
        gate = closed_gate(client)
        job = client.submit("hello", agent_id="a")
        damage(ledger.redis, job.id)
        # When
        gate.cancel()
        # Then
        assert client.complete("hello", agent_id="b").state == "succeeded", name
        if name in OF_ITS_REQUEST:
            with pytest.raises(CorruptEntry, match=SAYS):
                job.result(timeout=5)
            with pytest.raises(CorruptEntry):
                list(job.stream(timeout_s=5))
    ended = client.submit("hello", agent_id="a")
    ended.result()
    junk_result(ledger.redis, ended.id)
    with pytest.raises(CorruptEntry):
        ended.result(timeout=5)
    assert worker.process.poll() is None


def test_a_job_whose_stream_is_damaged_ends(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    for damage in OF_ITS_STREAM.values():
        gate = closed_gate(client)
        job = client.submit("hello", agent_id="a")
        damage(ledger.redis, job.id)

        gate.cancel()

        with pytest.raises(CorruptEntry):
            job.result(timeout=10)
    assert ledger.redis.zcard(keys.running("inst0")) == 0


def test_jobs_that_wait_behind_damaged_ones_are_served(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    gate = closed_gate(client)
    damaged = [client.submit("hello", agent_id="a") for _ in range(3)]
    behind = client.submit("hello", agent_id="b")
    for job in damaged:
        lacks("fence")(ledger.redis, job.id)

    gate.cancel()

    assert behind.result(timeout=10).state == "succeeded"
