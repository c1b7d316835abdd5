"""What cannot be done is refused in one sentence, and nothing is enqueued."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from producer import (
    ApexError,
    AsyncLLMClient,
    InvalidRequest,
    JobNotFound,
    LLMClient,
    NoInstance,
    QueueFull,
    UnknownModel,
)
from tests.conftest import StartWorkers
from tests.support.registering import register
from tests.support.sentences import is_one_sentence
from tests.support.snapshots import everything, key_names

TURN = {"role": "user", "content": "hello"}

# What was asked, beside an agent and a prompt; the error; a part of its sentence.
BAD: list[tuple[dict[str, Any], type[ApexError], str]] = [
    ({"agent_id": ""}, InvalidRequest, "agent_id: String should have at least 1"),
    ({"agent_id": "a" * 201}, InvalidRequest, "agent_id: String should have at most 200"),
    ({"agent_id": "a\nb"}, InvalidRequest, "agent_id: control characters"),
    ({"agent_id": None}, InvalidRequest, "agent_id: Input should be a valid string"),
    ({"max_tokens": 0}, InvalidRequest, "max_tokens: Input should be greater"),
    ({"max_tokens": -1}, InvalidRequest, "max_tokens: Input should be greater"),
    ({"max_tokens": 10**30}, InvalidRequest, "max_tokens: Input should be less"),
    ({"max_tokens": math.nan}, InvalidRequest, "max_tokens: Input should be"),
    ({"temperature": math.nan}, InvalidRequest, "temperature: Input should be a finite number"),
    ({"top_p": math.inf}, InvalidRequest, "top_p: Input should be a finite number"),
    ({"timeout_s": math.nan}, InvalidRequest, "timeout_s: Input should be a finite number"),
    ({"messages": [TURN]}, InvalidRequest, "either prompt or messages"),
    ({"prompt": None}, InvalidRequest, "either prompt or messages"),
    ({"prompt": "\ud800"}, InvalidRequest, "prompt: the text has a lone surrogate"),
    ({"agent_id": "\udfff"}, InvalidRequest, "agent_id: the text has a lone surrogate"),
    ({"metadata": {"k": "\udc00"}}, InvalidRequest, "lone surrogate"),
    ({"prompt": "x" * 100_000_000}, InvalidRequest, "bytes and may have 4,194,304"),
    ({"temprature": 0.5}, InvalidRequest, "Unknown option 'temprature'; known: agent_id,"),
    ({"history": True}, InvalidRequest, "history is of a session; give a session_id too"),
    (
        {"cache": True, "history": True, "session_id": "s"},
        InvalidRequest,
        "cache and history exclude one another",
    ),
    ({"priority": "MAX"}, InvalidRequest, "priority: it takes URGENT, HIGH, NORMAL or LOW"),
    ({"idempotency_key": ""}, InvalidRequest, "idempotency_key: String should have at least 1"),
    ({"model": "gpt-17"}, UnknownModel, "'gpt-17'; registered: mock"),
]


def asked(changes: dict[str, Any]) -> dict[str, Any]:
    fields = {"prompt": "hello", "agent_id": "a", **changes}
    return {name: value for name, value in fields.items() if value is not None or name != "prompt"}


def test_a_bad_request_is_refused_in_one_sentence_and_nothing_is_enqueued(
    client: LLMClient, redis_url: str, settings: Settings, start_workers: StartWorkers
) -> None:
    # Given
    start_workers("inst0")
    before = key_names(redis_url)

    for changes, kind, said in BAD:
        # When
        with pytest.raises(kind) as refused:
            client.submit(**asked(changes))
        # Then
        assert said in str(refused.value)
        assert is_one_sentence(refused.value), refused.value
        assert key_names(redis_url) == before, changes.keys()

    asyncio.run(refuses_the_same_when_awaited(settings))
    assert key_names(redis_url) == before
    assert client.get_stats()["tokens_held"] == 0
    assert client.complete("hello", agent_id="a").text.startswith("Hello")


async def refuses_the_same_when_awaited(settings: Settings) -> None:
    async with AsyncLLMClient(settings) as client:
        for changes, kind, said in BAD:
            with pytest.raises(kind) as refused:
                await client.submit(**asked(changes))
            assert said in str(refused.value)


def test_one_bad_request_among_many_refuses_all_of_them(
    client: LLMClient, redis_url: str, ledger: Ledger
) -> None:
    register(ledger)
    before = everything(redis_url)

    for bad in ({"max_tokens": -1}, {"model": "gpt-17"}):
        with pytest.raises(ApexError):
            client.submit_many([asked({}), asked({}), asked(bad)])

    assert everything(redis_url) == before


def test_without_a_live_instance_a_request_is_refused_and_told_how_to_start_one(
    client: LLMClient, redis_url: str, ledger: Ledger
) -> None:
    # Given an instance that was heard more than a minute ago
    register(ledger)
    ledger.redis.zincrby(keys.SEEN, -61_000, "inst0")
    before = everything(redis_url)

    for call in (
        lambda: client.submit("hello", agent_id="a"),
        lambda: client.submit_many([asked({})]),
        lambda: client.stream("hello", agent_id="a"),
        lambda: client.complete("hello", agent_id="a"),
    ):
        with pytest.raises(NoInstance, match="celery -A workers worker -Q inst0") as refused:
            call()
        assert is_one_sentence(refused.value)
    assert everything(redis_url) == before


def test_on_an_empty_server_a_request_is_refused_and_the_server_stays_empty(
    client: LLMClient, redis_url: str
) -> None:
    with pytest.raises(NoInstance):
        client.submit("hello", agent_id="a")
    with pytest.raises(NoInstance):
        client.submit("hello", agent_id="a", model="gpt-17")

    assert everything(redis_url) == {}


def test_a_full_queue_refuses_and_says_when_to_come_back(redis_url: str, ledger: Ledger) -> None:
    # Given slots + 1 wake-ups and three waiting jobs
    register(ledger)
    settings = load_settings(env={}, redis_url=redis_url, max_waiting=3)
    with LLMClient(settings) as client:
        for _ in range(5):
            client.submit("hello", agent_id="a")
        before = everything(redis_url)

        # When
        with pytest.raises(QueueFull, match=r"inst0 has 3 jobs waiting.*try again in") as refused:
            client.submit("hello", agent_id="a")
        (job,) = client.submit_many([asked({})])

        # Then
        assert (refused.value.instance, refused.value.waiting) == ("inst0", 3)
        assert refused.value.retry_after_s > 0
        assert is_one_sentence(refused.value)
        assert isinstance(job.refused, QueueFull)
        with pytest.raises(QueueFull):
            job.result()
        assert everything(redis_url) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"idempotency_key": "\ud800"},
        {"idempotency_key": 5},
        {"metadata": {"k": "x" * 5_000_000}},
        {"tools": [{"k": "x" * 5_000_000}]},
        {"stop": "x" * 5_000_000},
        {"response_format": {"k": "x" * 5_000_000}},
        {"logit_bias": {"x" * 5_000_000: 1.0}},
        {"prompt": None, "messages": [{**TURN, "name": "x" * 5_000_000}]},
        {"prompt": None, "messages": [{**TURN, "content": ""}] * 500_000},
    ],
    ids=",".join,
)
def test_what_is_not_the_prompt_is_checked_too(
    client: LLMClient, ledger: Ledger, changes: dict[str, Any]
) -> None:
    register(ledger)

    with pytest.raises(InvalidRequest):
        client.submit(**asked(changes))


NOT_VALIDATED: dict[str, Callable[[LLMClient], object]] = {
    "an episode's budget is NaN": lambda client: client.episode("e", token_budget=math.nan),  # type: ignore[arg-type]
    "an episode's budget is a fraction": lambda client: client.episode("e", token_budget=1.5),  # type: ignore[arg-type]
    "an episode's budget is true": lambda client: client.episode("e", token_budget=True),
    "an episode's budget is huge": lambda client: client.episode("e", token_budget=10**30),
    "an episode's time is huge": lambda client: client.episode("e", timeout_s=1e300),
    "progress is nothing": lambda client: client.episode("e").progress(None),  # type: ignore[arg-type]
    "progress is a surrogate": lambda client: client.episode("e").progress("\ud800"),
    "progress is 5 MB": lambda client: client.episode("e").progress("x" * 5_000_000),
    "a cursor is negative": lambda client: next(client.job("j").stream(after=-5)),
    "a cursor is huge": lambda client: next(client.job("j").stream(after=2**70)),
    "a job's id is a surrogate": lambda client: client.job("\ud800").result(),
    "many is not a list of requests": lambda client: client.submit_many(["x"]),  # type: ignore[list-item]
}


@pytest.mark.parametrize("call", NOT_VALIDATED.values(), ids=NOT_VALIDATED)
def test_a_bad_argument_of_another_call_is_refused_too(
    client: LLMClient, ledger: Ledger, call: Callable[[LLMClient], object]
) -> None:
    register(ledger)

    with pytest.raises((InvalidRequest, JobNotFound)):
        call(client)
