"""The demo's two acts: each agent alone, then all of them at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ledger.errors import ApexError
from ledger.messages import Result
from producer.aio import AsyncEpisode, AsyncLLMClient
from producer.cli.demo.agents import Agent
from producer.cli.demo.screen import Screen

MAX_TOKENS = 48
BUDGET = 2_000  # tokens; five prompts and answers, as they are held before they are counted, fit
PATIENCE_S = 300.0  # with one answer, in case an instance is lost for good

Ended = Result | ApexError


@dataclass(frozen=True, slots=True)
class Act:
    """What came of one act: each agent's end, the seconds it took, the episode's tokens."""

    ends: dict[str, Ended]
    took_s: float
    used: int
    held: int
    limit: int

    @property
    def results(self) -> dict[str, Result]:
        """The agents that got an answer, and what they got."""
        return {name: end for name, end in self.ends.items() if isinstance(end, Result)}


async def alone(client: AsyncLLMClient, cast: list[Agent], screen: Screen) -> Act:
    """Each agent by itself, while the others do nothing."""
    screen.begin("one after another")
    return await _act(client, cast, screen, at_once=1)


async def together(client: AsyncLLMClient, cast: list[Agent], screen: Screen) -> Act:
    """All agents at the same time."""
    screen.begin("all five at once")
    return await _act(client, cast, screen, at_once=len(cast))


async def _act(
    client: AsyncLLMClient,
    cast: list[Agent],
    screen: Screen,
    *,
    at_once: int,
) -> Act:
    """One act, in an episode of its own: its budget counts all agents together."""
    stage = asyncio.Semaphore(at_once)
    # The id is new each time: a Redis that was named may remember the last demo.
    async with client.episode(f"demo-{uuid.uuid4()}", token_budget=BUDGET) as episode:
        began = time.monotonic()
        ends = await asyncio.gather(*(_play(episode, agent, screen, stage) for agent in cast))
        took_s = time.monotonic() - began
        tokens: dict[str, Any] = await episode.get_stats()
    names = [agent.name for agent in cast]
    return Act(
        ends=dict(zip(names, ends, strict=True)),
        took_s=took_s,
        used=tokens["tokens_used"],
        held=tokens["tokens_held"],
        limit=tokens["budget"],
    )


async def _play(
    episode: AsyncEpisode, agent: Agent, screen: Screen, stage: asyncio.Semaphore
) -> Ended:
    async with stage:
        try:
            end: Ended = await _answer(episode, agent, screen)
        except ApexError as error:
            end = error
        screen.end(agent.name, end)
        return end


async def _answer(episode: AsyncEpisode, agent: Agent, screen: Screen) -> Result:
    # Greedy, and without a session, whose second turn finds its beginning in the model's cache and
    # may be rounded otherwise: alone and in company only foreign text can make a difference.
    job = await episode.submit(
        agent.prompt,
        agent_id=agent.name,
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        cache=False,  # the second answer is to be made, not remembered
    )
    async with aclosing(job.stream(timeout_s=PATIENCE_S)) as events:
        async for event in events:
            screen.hear(agent.name, event)
    return await job.result()
