"""get_llm_client, as the owner's document uses it, on real workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from ledger.errors import InvalidRequest, NoInstance, UnknownModel
from producer import LLMClient, LLMConfig, get_llm_client
from producer.llm import ModelClient
from producer.local import LocalStack
from tests.support import servers
from tests.support.sentences import is_one_sentence
from tests.support.waiting import eventually

T = TypeVar("T")

TWO = [{"name": "inst0", "model": "big"}, {"name": "inst1", "model": "small"}]


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Two instances with a model each."""
    env = {"APEX_CONFIG": "", "APEX_MOCK_DIRECTIVES": "1", "APEX_LLM_INSTANCES": json.dumps(TWO)}
    with LocalStack(instances=None, backend=None, env=env) as stack:
        yield stack


def using(stack: LocalStack, work: Callable[[ModelClient], Awaitable[T]], **config: Any) -> T:
    async def scene() -> T:
        async with get_llm_client(LLMConfig(settings=stack.settings, **config)) as client:
            return await work(client)

    return asyncio.run(scene())


def test_it_generates_with_a_system_prompt_and_says_what_that_took(stack: LocalStack) -> None:
    config = {"backend": "mock", "model": "big", "temperature": 0.7, "max_tokens": 512}
    response = using(stack, lambda client: client.generate("hello", "You are kind."), **config)
    assert response.content.startswith("Hello, how can I help you today?")
    assert response.tokens_used == response.result.usage.total_tokens > 0
    assert response.cached is False
    assert response.result.instance == "inst0"


def test_a_system_prompt_is_the_first_message_of_a_chat(stack: LocalStack) -> None:
    messages = [
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": "hello"},
    ]
    generated = using(stack, lambda client: client.generate("hello", "You are kind."), model="big")
    chatted = using(stack, lambda client: client.chat(messages), model="big")
    assert chatted.content == generated.content


def test_the_first_call_is_not_cached_and_the_second_is(stack: LocalStack) -> None:
    async def twice(client: ModelClient) -> tuple[bool, bool]:
        first = await client.generate("hello, only once")
        second = await client.generate("hello, only once")
        assert (second.content, second.tokens_used) == (first.content, first.tokens_used)
        return first.cached, second.cached

    assert using(stack, twice, model="big", enable_cache=True) == (False, True)


def test_the_configured_model_answers_and_a_request_may_name_another(stack: LocalStack) -> None:
    async def both(client: ModelClient) -> list[str]:
        answers = [await client.generate("hello"), await client.generate("hello", model="big")]
        return [answer.result.instance for answer in answers]

    assert using(stack, both, model="small") == ["inst1", "inst0"]


def test_what_the_config_says_is_sent_and_a_call_may_say_otherwise(stack: LocalStack) -> None:
    async def both(client: ModelClient) -> list[int]:
        answers = [await client.generate("hello"), await client.generate("hello", max_tokens=5)]
        return [answer.result.usage.completion_tokens for answer in answers]

    assert using(stack, both, model="big", max_tokens=3) == [3, 5]


def test_health_is_an_instance_that_is_ready_and_serves_the_model(stack: LocalStack) -> None:
    def health(**config: Any) -> bool:
        return using(stack, ModelClient.health_check, **config)

    assert health()
    assert health(backend="mock", model="small")
    assert not health(model="medium")
    assert not health(backend="ollama")
    with LLMClient(stack.settings) as client:
        client.drain("inst1")
        try:
            assert not health(model="small")
        finally:
            client.resume("inst1")


def test_an_instance_that_rests_for_its_providers_sake_is_not_well(stack: LocalStack) -> None:
    def well() -> bool:
        return using(stack, ModelClient.health_check, model="small")

    with LLMClient(stack.settings) as client:
        job = client.submit("[[mock limits=1 retry_after_s=3]]", agent_id="a", model="small")
        eventually(lambda: not well())
        assert job.result().state.value == "succeeded"
    eventually(well)


def test_health_is_false_where_nobody_answers() -> None:
    async def scene() -> bool:
        nowhere = f"redis://127.0.0.1:{servers.free_port()}/0"
        settings = LLMConfig().settings.model_copy(update={"redis_url": nowhere})
        async with get_llm_client(LLMConfig(settings=settings)) as client:
            return await client.health_check()

    assert asyncio.run(scene()) is False


def test_a_backend_or_model_that_nobody_serves_is_an_error_and_no_mock(stack: LocalStack) -> None:
    with pytest.raises(NoInstance, match="LLM_BACKEND=ollama celery") as caught:
        using(stack, lambda client: client.generate("hello"), backend="ollama")
    assert is_one_sentence(caught.value)
    with pytest.raises(UnknownModel, match="'medium'; registered: big, small"):
        using(stack, lambda client: client.generate("hello"), backend="mock", model="medium")


@pytest.mark.parametrize(("model", "instance"), [("qwen2.5:1.5b", "inst0"), ("small", "inst1")])
def test_stubs_stand_for_every_model_and_for_their_own_before_others(
    stack: LocalStack, model: str, instance: str
) -> None:
    settings = stack.settings.model_copy(update={"stub": True})

    async def scene() -> tuple[str, bool]:
        config = LLMConfig("ollama", model, settings=settings, agent_id="Planner")
        async with get_llm_client(config) as client:
            return (await client.generate("hello")).result.instance, await client.health_check()

    assert asyncio.run(scene()) == (instance, True)


def test_an_unknown_option_is_refused(stack: LocalStack) -> None:
    with pytest.raises(InvalidRequest, match="temprature"):
        using(stack, lambda client: client.generate("hello", temprature=1))


def test_breaking_off_the_wait_cancels_the_job(stack: LocalStack) -> None:
    async def broken_off(client: ModelClient) -> None:
        prompt = "[[mock tokens=5000 tps=20]]"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.generate(prompt, max_tokens=6000), timeout=0.5)

    using(stack, broken_off, model="big", tenant="breaks-off")

    with LLMClient(stack.settings, tenant="breaks-off") as client:
        eventually(lambda: client.get_stats()["tokens_held"] == 0)
