"""Sessions with a real worker: turns are stored once, read in the next one, and by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ledger.messages import Result
from ledger.settings import Settings
from producer import AsyncLLMClient, JobCancelled, JobFailed, LLMClient
from tests.support.conversation import ASKED, first_digits, mark_of, said
from tests.support.gates import begun

Ask = Callable[..., Result]


@pytest.fixture
def ask(client: LLMClient) -> Ask:
    """Asks in session s of agent a, unless told otherwise; a worker answers."""
    return lambda prompt, **options: client.complete(prompt, **{**ASKED, **options})


def test_the_second_turn_reads_the_first(ask: Ask) -> None:
    first = ask("hello")
    second = ask("and then?")

    assert mark_of("hello") in first.text
    assert mark_of("hello", first.text, "and then?") in second.text


@pytest.mark.parametrize("other", [{"agent_id": "b"}, {"tenant": "t"}, {"session_id": "s2"}])
def test_nobody_reads_the_turns_of_another_agent_tenant_or_session(
    ask: Ask, other: dict[str, str]
) -> None:
    ask("the codeword is heliotrope")

    elsewhere = ask("what is the codeword?", **other)
    here = ask("what is the codeword?")

    assert mark_of("what is the codeword?", **other) in elsewhere.text
    assert mark_of("what is the codeword?") not in here.text


def test_a_failed_or_cancelled_job_adds_no_turn(ask: Ask, client: LLMClient) -> None:
    with pytest.raises(JobFailed):
        ask("[[mock tokens=5 error_at=3]]")
    running = client.submit("[[mock tokens=2000 tps=100]]", **ASKED, max_tokens=3000)
    begun(running)
    waiting = client.submit("hello", **ASKED)

    assert waiting.cancel() == "cancelled"
    assert running.cancel() == "stopping"

    with pytest.raises(JobCancelled):
        running.result(timeout=10)
    assert client.session("a", "s").turns() == ()


def test_a_retried_job_adds_one_turn_with_all_of_its_text(ask: Ask, client: LLMClient) -> None:
    result = ask("[[mock tokens=40 tps=400 crash_at=20]]")

    (turn,) = client.session("a", "s").turns()

    assert result.attempt == 2
    assert said(turn)[-1] == result.text
    assert len(result.text.split()) == 40


def test_a_job_that_made_way_goes_on_in_the_context_it_began_in(
    ask: Ask, client: LLMClient
) -> None:
    first = ask("[[mock say=one]]")
    low = client.submit("[[mock tokens=300 tps=300]]", **ASKED, priority="LOW")
    begun(low)

    urgent = ask("[[mock say=two]]", priority="URGENT")

    marks = {word.partition("-")[0] for word in low.result(timeout=20).text.split()}
    began_in = mark_of("[[mock say=one]]", first.text, "[[mock tokens=300 tps=300]]")
    assert marks == {first_digits(began_in)}
    turns = client.session("a", "s").turns()
    assert [turn.job_id for turn in turns] == [first.job_id, urgent.job_id, low.id]


def test_the_asyncio_client_reads_and_clears_sessions_too(ask: Ask, settings: Settings) -> None:
    ask("hello")

    async def scene() -> None:
        async with AsyncLLMClient(settings) as client:
            session = client.session("a", "s")
            assert [said(turn)[0] for turn in await session.turns()] == ["hello"]
            assert await session.clear()
            assert await session.turns() == ()

    asyncio.run(scene())
