"""Answers that are more than text: what a model thinks first, and tools that it calls."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.messages import ChatMessage, Event, State
from tests.support.runner_scene import Scene
from tests.support.scripted import PROMPT_TOKENS, STOP, Script
from workers.backends import Piece
from workers.runner import Outcome

TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "weather"}}]
CALL = {
    "id": "call-1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Bern"}'},
}


def delta(arguments: str, **more: Any) -> dict[str, Any]:
    return {"index": 0, "function": {"arguments": arguments}, **more}


FIRST = {"index": 0, "id": "call-1", "type": "function", "function": {"name": "weather"}}
CALLING = [
    Piece("", 1, tool_calls=(FIRST,)),
    Piece("", 1, tool_calls=(delta('{"city": '),)),
    Piece("", 1, tool_calls=(delta('"Bern"}'),)),
    Piece("", 0, "tool_calls"),
]


def seen(scene: Scene, job: Any) -> list[Event]:
    return [event for event in scene.events(job) if event.kind == "chunk"]


def test_reasoning_comes_in_the_chunks_and_is_in_the_result(scene: Scene) -> None:
    job = scene.submit()
    thinking = [Piece("", 1, reasoning="Let me "), Piece("", 1, reasoning="think."), Piece("42")]

    assert scene.run(job, Script([*thinking, STOP]))[0] is Outcome.SUCCEEDED

    result = job.result(timeout=5)
    assert (result.text, result.reasoning) == ("42", "Let me think.")
    assert "".join(event.reasoning for event in job.stream()) == "Let me think."
    assert "".join(event.text for event in job.stream()) == "42"
    assert result.usage.completion_tokens == 3
    assert scene.charged == (PROMPT_TOKENS + 3, 0)


def test_tool_calls_come_as_deltas_and_the_result_has_them_whole(scene: Scene) -> None:
    job = scene.submit(tools=TOOLS)

    scene.run(job, Script(list(CALLING)))

    result = job.result(timeout=5)
    assert result.tool_calls == (CALL,)
    assert result.finish_reason == "tool_calls"
    assert [one for event in job.stream() for one in event.tool_calls] == [
        one for piece in CALLING for one in piece.tool_calls
    ]


def test_pieces_without_a_token_of_their_own_are_delivered(scene: Scene) -> None:
    job = scene.submit()

    scene.run(job, Script([Piece("", 0, reasoning="hm"), Piece("", 0, tool_calls=(FIRST,)), STOP]))

    result = job.result(timeout=5)
    assert (result.reasoning, len(result.tool_calls)) == ("hm", 1)


@pytest.mark.parametrize(
    "made", [Piece("a", reasoning="so"), Piece("a", tool_calls=(FIRST,))], ids=["thought", "call"]
)
def test_an_answer_that_is_more_than_text_begins_anew_in_its_next_attempt(
    scene: Scene, made: Piece
) -> None:
    # Given
    job = scene.submit(max_tokens=10)
    scene.lose(job, made)
    backend = Script([Piece("b", reasoning="other"), STOP])
    # When
    scene.run(job, backend)
    # Then
    assert (backend.runs[0].continue_from, backend.runs[0].max_tokens) == ("", 10)
    assert [event.kind for event in scene.events(job)][:3] == ["chunk", "requeued", "reset"]
    result = job.result(timeout=5)
    assert (result.text, result.reasoning, result.tool_calls) == ("b", "other", ())
    assert result.usage.completion_tokens == 2


def test_thoughts_alone_of_a_lost_attempt_are_void_too(scene: Scene) -> None:
    job = scene.submit()
    scene.lose(job, Piece("", 1, reasoning="so"))

    scene.run(job, Script([Piece("b"), STOP]))

    assert "reset" in [event.kind for event in scene.events(job)]
    assert (scene.record(job).text, scene.record(job).reasoning) == ("b", "")


@pytest.mark.parametrize(
    "made", [Piece("a", reasoning="so"), Piece("a", tool_calls=(FIRST,))], ids=["thought", "call"]
)
def test_an_answer_that_is_more_than_text_makes_way_for_nobody(scene: Scene, made: Piece) -> None:
    # Given a LOW job, and an URGENT one that comes when it has thought
    job = scene.submit(priority="LOW")

    def urgent() -> None:
        scene.delivered(job, "a")()
        scene.submit(agent_id="b", priority="URGENT")

    # When
    outcome, _ = scene.run(job, Script([made, urgent, Piece("b"), Piece("c"), STOP]))
    # Then
    assert outcome is Outcome.SUCCEEDED
    assert scene.record(job).text == "abc"


def test_a_session_keeps_the_tool_calls_and_not_the_reasoning(scene: Scene) -> None:
    # Given a turn that calls a tool
    asked = {"session_id": "s", "history": True}
    first = scene.submit(tools=TOOLS, **asked)
    scene.run(first, Script([Piece("", 1, reasoning="hm"), *CALLING]))
    # When its answer is sent
    answer = {"role": "tool", "content": "rain", "tool_call_id": "call-1"}
    second = scene.submit(prompt=None, messages=[answer], tools=TOOLS, **asked)
    backend = Script([Piece("It rains."), STOP])
    scene.run(second, backend)
    # Then
    assert backend.runs[0].request.messages == (
        ChatMessage(role="user", content="hello"),
        ChatMessage(role="assistant", content=None, tool_calls=(CALL,)),
        ChatMessage.model_validate(answer),
    )


def test_a_session_keeps_no_call_that_was_cut_off(scene: Scene) -> None:
    asked = {"session_id": "s", "history": True}
    first = scene.submit(tools=TOOLS, max_tokens=2, **asked)
    scene.run(first, Script(list(CALLING)))
    assert scene.record(first).finish_reason == "length"

    backend = Script([Piece("so"), STOP])
    scene.run(scene.submit(**asked), backend)

    said = backend.runs[0].request.messages or ()
    assert [message.tool_calls for message in said] == [(), (), ()]


def test_what_a_job_thought_is_in_its_record_when_it_is_cancelled_while_it_waits(
    scene: Scene,
) -> None:
    job = scene.submit()
    scene.lose(job, Piece('say "text":""', reasoning='"reasoning":"" and / so'))

    assert job.cancel() == "cancelled"

    record = scene.record(job)
    assert record.state is State.CANCELLED
    assert (record.text, record.reasoning) == ('say "text":""', '"reasoning":"" and / so')
