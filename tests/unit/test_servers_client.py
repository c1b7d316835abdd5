"""Clients that start servers' instances: what they start, and that nothing of it is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ledger.errors import InvalidSetting
from ledger.settings import Settings, load_settings
from producer import DualEndpointLLMClient, LMStudioClient, servers_client
from tests.support.sentences import is_one_sentence
from tests.support.slow_stack import SlowStack

CHAIN: dict[str, Any] = {
    "instances": [{"name": "a", "model": "big"}, {"name": "b", "model": "small"}],
    "fallbacks": {"big": ["small"]},
}


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[SlowStack]:
    """The stacks that were made."""
    made: list[SlowStack] = []

    def make(*args: Any, **env: Any) -> SlowStack:
        made.append(SlowStack(*args, **env))
        return made[-1]

    monkeypatch.setattr(servers_client, "GuestStack", make)
    return made


def settings(**given: Any) -> Settings:
    return load_settings(env={"APEX_CONFIG": ""}, **given)


async def started(client: LMStudioClient, stacks: list[SlowStack]) -> asyncio.Task[LMStudioClient]:
    """A start that has begun."""
    task = asyncio.create_task(client.start())
    while not stacks and not task.done():
        await asyncio.sleep(0)
    if task.done():
        task.result()
    await stacks[0].has_begun()
    return task


def test_its_own_stack_has_no_chains_of_other_models(stacks: list[SlowStack]) -> None:
    async def start() -> None:
        task = await started(LMStudioClient(settings=settings(**CHAIN)), stacks)
        stacks[0].let.set()
        await task

    asyncio.run(start())
    assert stacks[0].settings.fallbacks == {}


def test_its_own_stack_has_all_other_settings_and_no_others(
    stacks: list[SlowStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MAX_TOKENS", "7")
    given = settings(timeout_s=5, model="of others")

    async def start() -> None:
        task = await started(LMStudioClient(settings=given), stacks)
        stacks[0].let.set()
        await task

    asyncio.run(start())
    own = stacks[0].settings
    assert (own.timeout_s, own.max_tokens, own.config) == (5, 512, None)
    assert [one.model for one in own.instances] == [None]


@pytest.mark.parametrize("table", [{}, {"base_url": "http://localhost:1234/v1/"}])
def test_an_instance_of_the_settings_is_found_by_its_server_also_where_that_is_the_usual_one(
    stacks: list[SlowStack], table: dict[str, str]
) -> None:
    given = settings(instances=[{"name": "a", "backend": "lmstudio", **table}])
    asyncio.run(LMStudioClient(settings=given).start())
    assert stacks == []


def test_it_does_not_take_the_place_of_an_instance_of_the_settings(
    stacks: list[SlowStack],
) -> None:
    table = {"name": "lmstudio", "backend": "lmstudio", "base_url": "http://elsewhere/v1"}
    given = settings(instances=[table], redis_url="redis://127.0.0.1:1/0")
    with pytest.raises(InvalidSetting, match=r"LMStudioClient\(…, name=") as refused:
        asyncio.run(LMStudioClient(settings=given).start())
    assert is_one_sentence(refused.value)
    assert stacks == []


def test_a_password_in_an_address_is_in_no_error() -> None:
    urls = ("http://me:hidden@localhost:8001/v1", "http://localhost:8002/v1?key=hidden")
    client = DualEndpointLLMClient(*urls, settings=settings())
    with pytest.raises(InvalidSetting, match="localhost:8001/v1 and http://localhost") as refused:
        asyncio.run(client.complete("hi"))
    assert "hidden" not in str(refused.value)


def test_a_start_that_is_cancelled_leaves_nothing_running(stacks: list[SlowStack]) -> None:
    async def cancel() -> None:
        client = LMStudioClient(settings=settings())
        task = await started(client, stacks)
        task.cancel()
        stacks[0].let.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()

    asyncio.run(cancel())
    assert (stacks[0].starts, stacks[0].stops) == (1, 1)


def test_two_starts_at_once_are_one(stacks: list[SlowStack]) -> None:
    async def start_twice() -> None:
        client = LMStudioClient(settings=settings())
        first = await started(client, stacks)
        second = asyncio.create_task(client.start())
        stacks[0].let.set()
        assert await first is await second is client
        await client.close()

    asyncio.run(start_twice())
    assert [(stack.starts, stack.stops) for stack in stacks] == [(1, 1)]
