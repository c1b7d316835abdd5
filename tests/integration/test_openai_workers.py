"""Jobs of the backend ``openai`` through real workers: what the runner makes of its pieces."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendAuth, BackendError
from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import fake_openai
from tests.support.fake_openai import FakeOpenAI, InTurn, answers_with, chunk, refuses, says, usage
from tests.support.waiting import eventually

pytestmark = ON_ONE_SERVER


def table(server: FakeOpenAI) -> dict[str, str]:
    spec = {"name": "inst0", "backend": "openai", "base_url": server.url}
    return {"APEX_LLM_INSTANCES": json.dumps([spec]), "LLM_API_KEY": "sk-test-0123456789"}


def test_tool_calls_thoughts_and_the_servers_counts_are_in_the_record(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
    answer = says(
        chunk({"role": "assistant", "reasoning": "I need f."}),
        chunk({"tool_calls": [{"index": 0, **call}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
        chunk({}, finish="tool_calls"),
        chunk(usage=usage(31, 12, cached=16)),
    )
    with fake_openai.serving(answer) as server:
        start_workers("inst0", env=table(server))
        # When
        tools = [{"type": "function", "function": {"name": "f"}}]
        result = client.complete("What is f of 1?", agent_id="a", tools=tools, max_tokens=50)
    # Then
    whole = {"name": "f", "arguments": '{"a":1}'}
    extra = {"openai": {"host": "127.0.0.1", "reasoning": "I need f."}}
    assert result.tool_calls == ({**call, "function": whole, "extra_content": extra},)
    assert result.reasoning == "I need f."
    assert result.finish_reason == "tool_calls"
    used = result.usage
    assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens) == (31, 12, 16)
    assert client.get_stats()["tokens_used"] == 31 + 12


def test_a_server_is_asked_for_no_answer_before_there_is_a_job(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given a server that has an error for the first request, whosever that is
    with fake_openai.serving(
        InTurn(refuses(400, "max_tokens is too low."), answers_with("Hi"))
    ) as server:
        # When
        start_workers("inst0", env=table(server))
        # Then
        assert server.bodies == []
        with pytest.raises(BackendError, match="too low"):
            client.complete("hi", agent_id="a", max_tokens=1)
        assert client.complete("hi", agent_id="a", max_tokens=9).text == "Hi"


def test_a_rate_limit_rests_the_instance_and_costs_the_job_nothing(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    limit = refuses(429, "Slow down.", headers={"retry-after-ms": "300"})
    with fake_openai.serving(InTurn(limit, limit, answers_with("Hi"))) as server:
        start_workers("inst0", env=table(server))

        result = client.submit("hi", agent_id="a", max_tokens=9).result(timeout=30)

    assert (result.text, result.attempt) == ("Hi", 1)


def test_a_key_that_is_refused_ends_the_job_with_the_providers_words(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    refused = refuses(401, "Your account is not active.", code="billing_not_active")
    with fake_openai.serving(refused) as server:
        [worker] = start_workers("inst0", env=table(server))

        with pytest.raises(BackendAuth) as raised:
            client.complete("hi", agent_id="a")

    assert raised.value.said == "Your account is not active"
    assert "sk-test" not in worker.log


def test_while_its_server_is_away_a_job_waits_and_spends_no_attempt(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given a server that ends once its worker is ready
    with fake_openai.serving(answers_with("Hi")) as server:
        start_workers("inst0", env=table(server))
    job = client.submit("hi", agent_id="a", max_tokens=9)
    eventually(lambda: "its instance rests" in job.status().why)
    # When it is started again
    with fake_openai.serving(InTurn(answers_with("Hi")), port=server.port):
        result = job.result(timeout=30)
    # Then
    assert (result.text, result.attempt) == ("Hi", 1)
