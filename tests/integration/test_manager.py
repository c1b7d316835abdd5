"""The manager of the owner's documents: their calls, on real workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger.errors import InvalidRequest, InvalidSetting
from ledger.messages import Result
from producer import LLMClient, MultiInstanceLLMManager
from tests.support.sentences import is_one_sentence

ENV = {"APEX_MOCK_DIRECTIVES": "1", "APEX_CONFIG": ""}


@pytest.fixture(scope="module")
def manager() -> Iterator[MultiInstanceLLMManager]:
    """Five instances that are up; each test uses them from an event loop of its own."""
    manager = MultiInstanceLLMManager(5, backend="mock", env=ENV)
    asyncio.run(manager.start())
    yield manager
    asyncio.run(manager.stop())


def charged(manager: MultiInstanceLLMManager) -> int:
    with LLMClient(manager._settings) as client:
        return int(client.get_stats()["tokens_used"])


def test_the_start_up_sequence_of_the_architecture_document() -> None:
    async def sequence() -> Result:
        manager = MultiInstanceLLMManager(num_instances=2, backend="mock", env=ENV)
        assert not manager.ready()
        await manager.start()
        try:
            assert manager.ready()
            assert charged(manager) == 2 * (1 + 1)  # each has answered `test` with one token
            return await manager.generate(
                instance_id=0, session_id="ep1:planner", prompt="hello", max_new_tokens=256
            )
        finally:
            await manager.stop()
            assert not manager.ready()

    result = asyncio.run(sequence())
    assert result.text.startswith("Hello")
    assert result.instance == "inst0"


def test_each_instance_answers_the_first_prompt_itself_whatever_the_cache_has() -> None:
    async def start() -> int:
        env = ENV | {"LLM_ENABLE_CACHE": "1"}
        async with MultiInstanceLLMManager(2, backend="mock", env=env) as manager:
            return charged(manager)

    assert asyncio.run(start()) == 2 * (1 + 1)


def test_each_request_runs_on_the_instance_that_it_names(manager: MultiInstanceLLMManager) -> None:
    async def ask_each() -> list[str]:
        numbers = [2, 0, 1, 2, 2]
        answers = await asyncio.gather(
            *(manager.generate(number, "s", "hello", 8) for number in numbers)
        )
        return [answer.instance for answer in answers]

    assert asyncio.run(ask_each()) == ["inst2", "inst0", "inst1", "inst2", "inst2"]


def test_five_sessions_in_parallel_do_not_mix(manager: MultiInstanceLLMManager) -> None:
    async def together_and_alone() -> tuple[list[str], list[str]]:
        def ask(number: int) -> Awaitable[Result]:
            prompt = f"[[mock tokens=40 tps=200]] secret-of-{number}"
            return manager.generate(number, f"ep1:{number}", prompt, 100)

        together = await asyncio.gather(*map(ask, range(5)))
        alone = [await ask(number) for number in range(5)]
        return [one.text for one in together], [one.text for one in alone]

    together, alone = asyncio.run(together_and_alone())
    assert together == alone  # the mock's answer ends with a hash of all that it was given
    assert len(set(together)) == 5


def test_threads_with_loops_of_their_own_may_share_it(manager: MultiInstanceLLMManager) -> None:
    async def from_threads() -> list[str]:
        def ask(number: int) -> Result:
            return asyncio.run(manager.generate(number % 2, f"s{number}", "hello", 8))

        with ThreadPoolExecutor(4) as threads:
            return [result.instance for result in threads.map(ask, range(8))]

    assert asyncio.run(from_threads()) == ["inst0", "inst1"] * 4


def test_a_task_that_is_cancelled_cancels_its_job(manager: MultiInstanceLLMManager) -> None:
    async def cancel() -> Result:
        endless = asyncio.create_task(
            manager.generate(0, "s", "[[mock tokens=60000 tps=100]]", 60_000)
        )
        with LLMClient(manager._settings) as client:
            while not client.get_stats()["tokens_held"]:
                await asyncio.sleep(0)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        return await manager.generate(0, "s", "hello", 8)  # the instance is free again

    assert asyncio.run(cancel()).text.startswith("Hello")


def test_an_instance_that_there_is_not_is_refused(manager: MultiInstanceLLMManager) -> None:
    async def ask() -> None:
        for number in (5, -1, True, "0"):
            with pytest.raises(InvalidRequest, match="instance_id: ") as caught:
                await manager.generate(number, "s", "hello", 8)  # type: ignore[arg-type]
            assert is_one_sentence(caught.value)

    asyncio.run(ask())


def test_a_backend_factory_is_refused_with_the_settings_that_replace_it() -> None:
    with pytest.raises(InvalidSetting, match="APEX_GGUF_MODEL_PATH") as caught:
        MultiInstanceLLMManager(backend_factory=lambda number: None, num_instances=5)
    assert is_one_sentence(caught.value)


def test_a_manager_that_is_not_started_says_so() -> None:
    manager = MultiInstanceLLMManager(1, backend="mock", env=ENV)
    with pytest.raises(InvalidRequest, match="not started"):
        asyncio.run(manager.generate(0, "s", "hello", 8))
    asyncio.run(manager.stop())
