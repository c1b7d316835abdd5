"""The three isolation tests of the owner's parallel-instances document, on a real local stack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ledger.messages import Result
from producer import LLMClient, PortableLLMClient
from producer.local import LocalStack

AGENTS = ("Planner", "Coder", "Runner", "Critic", "Summarizer")


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(instances=5, env={"APEX_MOCK_DIRECTIVES": "1"}) as stack:
        yield stack


async def ask_all(stack: LocalStack, prompts: dict[tuple[str, str], str]) -> list[Result]:
    """Asks everybody at once; a key is (agent, session)."""
    async with PortableLLMClient(stack.settings) as client:
        return await asyncio.gather(
            *(
                client.complete(prompt=prompt, agent_id=agent, session_id=session, max_tokens=100)
                for (agent, session), prompt in prompts.items()
            )
        )


def ask_alone(stack: LocalStack, prompts: dict[tuple[str, str], str]) -> list[str]:
    """Asks one after another; the mock's answer carries a hash of its whole context."""
    with LLMClient(stack.settings) as client:
        return [
            client.complete(prompt, agent_id=agent, session_id=session, max_tokens=100).text
            for (agent, session), prompt in prompts.items()
        ]


def test_parallel_agents_do_not_contaminate_one_another(stack: LocalStack) -> None:
    prompts = {(agent, "s1"): f"[[mock tokens=40 tps=200]] secret-of-{agent}" for agent in AGENTS}

    together = asyncio.run(ask_all(stack, prompts))

    texts = [result.text for result in together]
    assert texts == ask_alone(stack, prompts)
    assert len(set(texts)) == len(AGENTS)


def test_sessions_of_one_agent_share_no_context(stack: LocalStack) -> None:
    prompts = {("Coder", f"session-{n}"): "the same question" for n in range(6)}

    together = asyncio.run(ask_all(stack, prompts))

    texts = [result.text for result in together]
    assert texts == ask_alone(stack, prompts)
    assert len(set(texts)) == 6  # the hash covers the session


def test_agents_are_spread_over_the_instances_and_stay_there(stack: LocalStack) -> None:
    agents = [f"agent-{n}" for n in range(60)]
    prompts = {(agent, "s1"): "hello" for agent in (*AGENTS, *agents)}

    first = [result.instance for result in asyncio.run(ask_all(stack, prompts))]
    again = [result.instance for result in asyncio.run(ask_all(stack, prompts))]

    assert first == again
    assert first[:5] == ["inst0", "inst1", "inst2", "inst3", "inst4"]  # the standard roles
    shares = [first[5:].count(f"inst{n}") for n in range(5)]
    assert min(shares) >= 4, shares
