"""Agents that share a system prompt find it in the server's prefix cache."""

from __future__ import annotations

import pytest

from producer import LLMClient
from tests.support.vllm_server import VllmServer
from tests.vllm.conftest import Serve, Tell

AGENTS, TURNS = 8, 4
SYSTEM = "you are one of several agents; answer in the order of the story. " * 12
pytestmark = pytest.mark.timeout(1200)


def test_more_than_half_of_all_prompt_tokens_come_out_of_the_prefix_cache(
    client: LLMClient, serve: Serve, server: VllmServer, tell: Tell
) -> None:
    # Given
    serve(server.url, slots=4)
    counters = ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total")
    before = [server.counted(name) for name in counters]
    # When agents have conversations of several turns, at once
    for turn in range(TURNS):
        jobs = [
            client.submit(
                messages=[
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": f"agent {number}, turn {turn}: what now?"},
                ],
                agent_id=f"agent-{number}",
                session_id="s1",
                history=True,
                max_tokens=16,
            )
            for number in range(AGENTS)
        ]
        results = [job.result(timeout=300) for job in jobs]
    # Then
    queries, hits = (server.counted(name) - old for name, old in zip(counters, before, strict=True))
    tell(f"prefix cache: {hits:.0f} of {queries:.0f} tokens, {100 * hits / queries:.0f} %")
    assert hits / queries > 0.5
    assert all(result.usage.cached_tokens > 0 for result in results)
