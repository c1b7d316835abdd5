"""The owner's clients of model servers, on real workers and a server that speaks the protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendError, InvalidSetting, JobCancelled
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from producer import DualEndpointLLMClient, LLMBatchManager, LLMClient, LMStudioClient
from routing.registry import read_registry
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import fake_openai
from tests.support.fake_openai import FakeOpenAI, InTurn, answers_with, breaks_off_after
from tests.support.waiting import eventually

pytestmark = ON_ONE_SERVER

HELLO = [{"role": "user", "content": "Say hello"}]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai.serving(answers_with("Hello", " there")) as server:
        yield server


def names(ledger: Ledger) -> list[str]:
    return [entry.name for entry in ledger.run(read_registry()).entries]


def with_instance(redis_url: str, **table: object) -> tuple[Settings, dict[str, str]]:
    """Settings with one instance, and the environment that gives a worker the same."""
    env = {"APEX_LLM_INSTANCES": json.dumps([{"name": "inst0", **table}])}
    return load_settings(env=env, redis_url=redis_url), env


def test_lm_studios_client_brings_its_own_worker(server: FakeOpenAI, redis_url: str) -> None:
    settings = load_settings(env={}, redis_url=redis_url)

    async def talk() -> None:
        async with LMStudioClient(
            server.url, max_concurrent_requests=2, settings=settings
        ) as client:
            answer = await client.chat(HELLO, max_tokens=9)
            streamed = [text async for text in client.chat_completion_stream(HELLO, max_tokens=9)]
            stats = client.get_usage_stats()
            assert answer.text == "".join(streamed) == "Hello there"
            assert answer.usage.completion_tokens == 2
            assert stats["tokens_used"] >= 2 * (5 + 2)
            assert stats["max_concurrent_requests"] == 2
            assert (stats["waiting"], stats["running"], stats["state"]) == (0, 0, "ready")

    asyncio.run(talk())


def test_what_it_brought_is_forgotten_with_it_and_may_come_again(
    server: FakeOpenAI, ledger: Ledger, redis_url: str
) -> None:
    settings = load_settings(env={}, redis_url=redis_url)

    async def talk() -> tuple[str, list[str]]:
        async with LMStudioClient(server.url, settings=settings) as client:
            answer = await client.chat(HELLO, max_tokens=9)
            return answer.text, names(ledger)

    for _ in range(2):
        assert asyncio.run(talk()) == ("Hello there", ["lmstudio"])
        assert names(ledger) == []


def test_two_clients_at_once_each_ask_their_own_server(server: FakeOpenAI, redis_url: str) -> None:
    settings = load_settings(env={}, redis_url=redis_url)

    async def talk(first: str, second: str) -> list[str]:
        async with (
            LMStudioClient(first, settings=settings) as one,
            LMStudioClient(second, settings=settings, name="another") as other,
        ):
            return [(await client.chat(HELLO, max_tokens=9)).text for client in (one, other)]

    with fake_openai.serving(answers_with("Good", " day")) as another:
        assert asyncio.run(talk(server.url, another.url)) == ["Hello there", "Good day"]


def test_two_endpoints_of_the_settings_are_used_and_fail_over_unseen(
    redis_url: str, start_workers: StartWorkers, tmp_path: Path
) -> None:
    turns = InTurn(breaks_off_after("Hello", " the"), answers_with("re,", " again"))
    with (
        fake_openai.serving(turns, owner="vllm") as first,
        fake_openai.serving(turns, owner="vllm") as second,
    ):
        urls = [first.url, second.url]
        settings, env = with_instance(redis_url, backend="vllm", endpoints=urls, slots=1)
        start_workers("inst0", env={**env, "TMPDIR": str(tmp_path)})

        async def read() -> str:
            async with DualEndpointLLMClient(*urls, settings=settings) as client:
                return "".join([text async for text in client.chat_completion_stream(HELLO)])

        assert asyncio.run(read()) == "Hello there, again"
        assert turns.servers[0] is not turns.servers[1]


def test_a_reader_of_plain_text_is_told_when_an_answer_begins_anew(
    redis_url: str, start_workers: StartWorkers
) -> None:
    turns = InTurn(breaks_off_after("Hello"), answers_with("Hi"))
    with fake_openai.serving(turns) as server:
        settings, env = with_instance(redis_url, backend="lmstudio", base_url=server.url)
        start_workers("inst0", env=env)

        async def read() -> None:
            async with LMStudioClient(server.url, settings=settings) as client:
                async for _ in client.chat_completion_stream(HELLO):
                    pass

        with pytest.raises(BackendError, match="begins anew"):
            asyncio.run(read())


def test_who_stops_reading_stops_the_job(redis_url: str, start_workers: StartWorkers) -> None:
    with fake_openai.serving(fake_openai.falls_silent_after("Hello")) as server:
        settings, env = with_instance(redis_url, backend="lmstudio", base_url=server.url)
        start_workers("inst0", env=env)

        async def read_a_word() -> str:
            async with LMStudioClient(server.url, settings=settings) as client:
                texts = client.chat_completion_stream(HELLO)
                word = await anext(texts)
                await texts.aclose()
                return word

        assert asyncio.run(read_a_word()) == "Hello"
        assert server.left.wait(10)


async def read(client: LMStudioClient) -> str:
    """A streamed answer, whole."""
    return "".join([text async for text in client.chat_completion_stream(HELLO)])


def test_what_is_under_way_when_it_is_closed_is_cancelled(redis_url: str, ledger: Ledger) -> None:
    settings = load_settings(env={}, redis_url=redis_url)

    async def close_early(server: FakeOpenAI) -> list[object]:
        async with LMStudioClient(server.url, settings=settings) as client:
            asked = asyncio.gather(client.chat(HELLO), read(client), return_exceptions=True)
            await asyncio.to_thread(eventually, lambda: len(server.bodies) == 2)
        return list(await asyncio.wait_for(asked, 10))

    with fake_openai.serving(fake_openai.falls_silent_after("Hello")) as server:
        answers = asyncio.run(close_early(server))

    assert [type(answer) for answer in answers] == [JobCancelled, JobCancelled]
    assert names(ledger) == []
    with LLMClient(settings) as client:
        assert client.get_stats()["tokens_held"] == 0


def test_what_is_on_its_way_to_redis_when_it_is_closed_is_cancelled(
    redis_url: str, ledger: Ledger
) -> None:
    settings = load_settings(env={}, redis_url=redis_url)

    async def close_at_once(server: FakeOpenAI) -> list[object]:
        async with LMStudioClient(server.url, settings=settings) as client:
            asked = asyncio.gather(client.chat(HELLO), read(client), return_exceptions=True)
            await asyncio.sleep(0)  # they have begun, and nothing has been sent
        return list(await asyncio.wait_for(asked, 10))

    with fake_openai.serving(fake_openai.falls_silent_after("Hello")) as server:
        answers = asyncio.run(close_at_once(server))

    assert [type(answer) for answer in answers] == [JobCancelled, JobCancelled]
    assert names(ledger) == []


def test_a_client_that_is_not_started_says_how(redis_url: str) -> None:
    client = LMStudioClient(settings=load_settings(env={}, redis_url=redis_url))

    with pytest.raises(InvalidSetting, match="use `async with LMStudioClient"):
        asyncio.run(client.chat(HELLO))


def test_the_batch_manager_sends_at_once(
    server: FakeOpenAI, redis_url: str, start_workers: StartWorkers
) -> None:
    settings, env = with_instance(redis_url, backend="openai", base_url=server.url, slots=4)
    start_workers("inst0", env=env)

    async def batch() -> list[str]:
        async with LLMBatchManager(batch_timeout=60.0, settings=settings) as manager:
            answers = await asyncio.gather(
                *(manager.batch_request(HELLO, max_tokens=9, cache=False) for _ in range(3))
            )
        return [answer.text for answer in answers]

    assert asyncio.run(batch()) == ["Hello there"] * 3
    with LLMClient(settings) as client:
        assert client.get_stats()["tokens_held"] == 0
