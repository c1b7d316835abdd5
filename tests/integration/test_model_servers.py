"""Jobs of instances whose models are behind a server's API, through real workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import BackendAuth, ContentRefused
from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import fake_openai
from tests.support.fake_anthropic import KEY, PATH, FakeAnthropic
from tests.support.fake_anthropic import MODEL as CLAUDE
from tests.support.fake_ollama import MODEL as TINY
from tests.support.fake_ollama import FakeOllama
from tests.support.fake_server import PATIENCE_S
from tests.support.waiting import eventually
from tests.support.word_model import GREETING, LONG, SHORT, SLOW
from tests.support.workers import Worker

pytestmark = ON_ONE_SERVER


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    pytest.importorskip("ollama")
    with FakeOllama() as server:
        yield server


@pytest.fixture
def anthropic() -> Iterator[FakeAnthropic]:
    pytest.importorskip("anthropic")
    with FakeAnthropic() as server:
        yield server


def of(backend: str, server: Any, model: str, **more: str) -> dict[str, str]:
    """The environment that the documentation names."""
    return {"LLM_BACKEND": backend, "LLM_MODEL": model, "LLM_API_BASE": server.url, **more}


def test_a_job_is_answered_by_ollama_and_charged_by_its_counts(
    client: LLMClient, start_workers: StartWorkers, ollama: FakeOllama
) -> None:
    # Given
    start_workers("inst0", env=of("ollama", ollama, TINY))
    # When
    job = client.submit(f"think, then say {SHORT}", agent_id="a", max_tokens=20)
    texts = [event.text for event in job.stream(timeout_s=20)]
    # Then
    result = job.result(timeout=5)
    assert "".join(texts) == result.text == "Hello from Zürich."
    assert result.reasoning == "I see."
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (4 + 3, 2 + 3 + 1)
    assert client.get_stats()["tokens_used"] == result.usage.total_tokens
    assert client.get_stats()["tokens_held"] == 0


def test_a_job_that_is_cancelled_makes_ollama_stop(
    client: LLMClient, start_workers: StartWorkers, ollama: FakeOllama
) -> None:
    start_workers("inst0", env=of("ollama", ollama, TINY))
    job = client.submit(SLOW, agent_id="a")
    eventually(lambda: ollama.of("/api/chat"))

    job.cancel()

    assert ollama.left.wait(PATIENCE_S)
    assert job.outcome(timeout=10).state == "cancelled"


def test_a_job_is_answered_by_anthropic_and_the_key_is_in_no_log(
    client: LLMClient, start_workers: StartWorkers, anthropic: FakeAnthropic
) -> None:
    # Given
    [worker] = start_workers("inst0", env=of("anthropic", anthropic, CLAUDE, LLM_API_KEY=KEY))
    # When
    job = client.submit(LONG, agent_id="a", max_tokens=9)
    result = job.result(timeout=20)
    # Then
    counted = len(json.dumps(anthropic.of(PATH)[-1]["messages"]).split())
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (counted, 9)
    assert result.finish_reason == "length"
    assert len(result.text.split()) == 9
    assert KEY not in worker.log
    assert "HTTP Request" not in worker.log


def test_a_refusal_of_anthropic_ends_the_job_in_its_words(
    client: LLMClient, start_workers: StartWorkers, anthropic: FakeAnthropic
) -> None:
    start_workers("inst0", env=of("anthropic", anthropic, CLAUDE, LLM_API_KEY=KEY))

    job = client.submit("How do I do harm?", agent_id="a")

    with pytest.raises(ContentRefused, match="Not this"):
        job.result(timeout=20)


def test_a_model_that_is_not_there_is_the_reason_why_its_instance_does_not_start(
    redis_url: str, tmp_path: Path, ollama: FakeOllama
) -> None:
    worker = Worker("inst0", redis_url, tmp_path, of("ollama", ollama, "qwen2.5:1.5b"))

    assert worker.process.wait(30) == 78
    assert "run `ollama pull qwen2.5:1.5b`, or set pull = true" in worker.log


def test_an_instance_whose_account_is_empty_starts_and_answers_once_it_is_paid(
    client: LLMClient, start_workers: StartWorkers, anthropic: FakeAnthropic
) -> None:
    # Given
    anthropic.unpaid = True
    start_workers("inst0", env=of("anthropic", anthropic, CLAUDE, LLM_API_KEY=KEY))
    with pytest.raises(BackendAuth, match="credit balance is too low") as raised:
        client.submit(SHORT, agent_id="a").result(timeout=20)
    # When
    anthropic.unpaid = False
    # Then
    assert raised.value.unpaid
    assert client.submit(SHORT, agent_id="a").result(timeout=20).text == GREETING


def test_thoughts_before_a_call_go_back_with_its_result_in_a_session(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given a model that thinks, and calls a tool
    pytest.importorskip("openai")
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    calls = fake_openai.chunk({"tool_calls": [{"index": 0, **call}]}, finish="tool_calls")
    thinks = fake_openai.says(fake_openai.chunk({"reasoning_content": "Let me see."}), calls)
    with fake_openai.serving(thinks, fake_openai.answers_with("Noon.")) as server:
        start_workers("inst0", env=of("openai", server, fake_openai.MODEL))
        same = {"agent_id": "a", "session_id": "s", "history": True}
        client.submit("What time is it?", **same).result(timeout=20)
        # When
        result = {"role": "tool", "tool_call_id": "c1", "content": "12:00"}
        client.submit(messages=[result], **same).result(timeout=20)
        # Then
        thought = server.bodies[1]["messages"][1]
        assert (thought["reasoning_content"], thought["tool_calls"]) == ("Let me see.", [call])
