"""Text, counts, calls of tools, thoughts and probabilities, as servers stream them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendError
from ledger.tool_calls import put_together
from tests.contract.servers.openai.conftest import Start
from tests.support.fake_openai import answers_with, chunk, refuses, says, usage
from tests.support.loaded import pieces_of, text_of, tokens_of


def test_counts_are_the_servers_own(start: Start) -> None:
    # Given a server that packs five tokens into two chunks, and one into none
    _, backend = start(
        says(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hello "}),
            chunk({"content": "there"}),
            chunk({}, finish="stop"),
            chunk(usage=usage(17, 6, cached=16)),
        )
    )
    # When
    pieces = pieces_of(backend, "Say hi")
    # Then
    assert text_of(pieces) == "Hello there"
    assert tokens_of(pieces) == 6
    assert [piece.prompt_tokens for piece in pieces if piece.prompt_tokens] == [17]
    assert sum(piece.cached_tokens for piece in pieces) == 16
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["stop"]


def test_thoughts_that_stand_in_the_total_alone_are_counted(start: Start) -> None:
    # Given xAI's form, in which completion_tokens are those of the text
    told = {"prompt_tokens": 14, "completion_tokens": 1, "total_tokens": 35}
    details = {"completion_tokens_details": {"reasoning_tokens": 20}}
    _, backend = start(
        says(chunk({"content": "4"}), chunk({}, finish="stop"), chunk(usage={**told, **details}))
    )
    # When
    pieces = pieces_of(backend, "Add 2 and 2")
    # Then
    assert tokens_of(pieces) == 21
    assert [piece.prompt_tokens for piece in pieces if piece.prompt_tokens] == [14]


def test_counts_of_a_server_that_counts_along_come_with_each_piece(start: Start) -> None:
    server, backend = start(
        says(
            chunk({"role": "assistant", "content": ""}, usage=usage(9, 0)),
            chunk({"content": "Hel"}, usage=usage(9, 3)),
            chunk({"content": "lo"}, usage=usage(9, 4)),
            chunk({}, finish="length", usage=usage(9, 5)),
            chunk(usage=usage(9, 5)),
        ),
        owner="vllm",
    )

    pieces = pieces_of(backend, "Say hi", 5)

    assert [piece.tokens for piece in pieces] == [3, 1, 1]
    assert pieces[0].prompt_tokens == 9
    assert pieces[-1].finish_reason == "length"
    assert server.bodies[0]["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }


def test_an_answer_never_counts_for_more_than_it_may_have(start: Start) -> None:
    _, backend = start(answers_with("a", "b", "c", finish="length"))

    pieces = pieces_of(backend, "Say hi", 2)

    assert tokens_of(pieces) == 2
    assert text_of(pieces) == "abc"
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


def test_tool_calls_end_as_such_also_where_the_server_says_stop(start: Start) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f"}}
    _, backend = start(says(chunk({"tool_calls": [call]}), chunk({}, finish="stop")))

    assert pieces_of(backend, "Say hi")[-1].finish_reason == "tool_calls"


def test_tool_calls_go_through_unchanged(start: Start) -> None:
    # Given
    deltas = [
        {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": ""},
        },
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Zürich"}'}},
    ]
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
    server, backend = start(
        says(
            chunk({"role": "assistant", "content": None, "tool_calls": [deltas[0]]}),
            *(chunk({"tool_calls": [delta]}) for delta in deltas[1:]),
            chunk({}, finish="tool_calls"),
            chunk(usage=usage(40, 12)),
        )
    )
    # When
    pieces = pieces_of(backend, "Say hi", tools=tools, tool_choice="required")
    # Then
    assert [call for piece in pieces for call in piece.tool_calls] == deltas
    assert pieces[-1].finish_reason == "tool_calls"
    assert server.bodies[0]["tools"] == tools
    assert server.bodies[0]["tool_choice"] == "required"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_told_apart_from_the_answer(start: Start, name: str) -> None:
    _, backend = start(
        says(
            chunk({"role": "assistant", name: "Let me "}),
            chunk({name: "see."}),
            chunk({"content": "Four."}),
            chunk({}, finish="stop"),
            chunk(usage=usage(5, 7)),
        )
    )

    pieces = pieces_of(backend, "Say hi")

    assert "".join(piece.reasoning for piece in pieces) == "Let me see."
    assert text_of(pieces) == "Four."
    assert tokens_of(pieces) == 7


def test_probabilities_come_with_their_tokens(start: Start) -> None:
    logprobs = {
        "content": [
            {
                "token": "Hi",
                "logprob": -0.25,
                "bytes": [72, 105],
                "top_logprobs": [
                    {"token": "Hi", "logprob": -0.25, "bytes": [72, 105]},
                    {"token": "Yo", "logprob": -2.5, "bytes": [89, 111]},
                ],
            }
        ],
        "refusal": None,
    }
    server, backend = start(
        says(
            chunk({"role": "assistant", "content": "Hi"}, logprobs=logprobs),
            chunk({}, finish="stop"),
            chunk(usage=usage(5, 1)),
        )
    )

    [first, *_] = pieces_of(backend, "Say hi", logprobs=2)

    [token] = first.logprobs
    assert (token.text, token.logprob) == ("Hi", -0.25)
    assert [(one.text, one.logprob) for one in token.top] == [("Hi", -0.25), ("Yo", -2.5)]
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 2)


def test_a_character_that_comes_in_halves_is_put_together(start: Start) -> None:
    # Given a server in JavaScript, which cuts between the two units of a character
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f"}}
    more = [{"index": 0, "function": {"arguments": part}} for part in ('"\ud83d', '\ude00"')]
    _, backend = start(
        says(
            chunk({"reasoning": "\ud83d"}),
            chunk({"reasoning": "\ude00"}),
            chunk({"content": "Hi \ud83d"}),
            chunk({"content": "\ude00 and \ud83d"}),
            chunk({"content": "b"}),
            chunk({"tool_calls": [call]}),
            *(chunk({"tool_calls": [one]}) for one in more),
            chunk({}, finish="tool_calls"),
        )
    )
    # When
    pieces = pieces_of(backend, "Say hi")
    # Then
    [made] = put_together(delta for piece in pieces for delta in piece.tool_calls)
    assert text_of(pieces) == "Hi 😀 and \ufffdb"
    assert "".join(piece.reasoning for piece in pieces) == "😀"
    assert made["function"]["arguments"] == '"😀"'
    assert made["extra_content"]["openai"]["reasoning"] == "😀"


def test_thoughts_travel_in_the_first_part_of_a_call_alone(start: Start) -> None:
    # Given a server that tells with each part of a call that nothing more was thought
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f"}}
    more = [{"index": 0, "function": {"arguments": part}} for part in ("{", "}")]
    _, backend = start(
        says(
            chunk({"reasoning_content": "Let me see."}),
            *(chunk({"reasoning_content": "", "tool_calls": [one]}) for one in (call, *more)),
            chunk({}, finish="tool_calls"),
        )
    )
    # When
    first, *others = [delta for one in pieces_of(backend, "Hi") for delta in one.tool_calls]
    # Then
    assert first["extra_content"]["openai"]["reasoning_content"] == "Let me see."
    assert others == more


def test_a_token_that_is_ruled_out_has_the_least_logprob(start: Start) -> None:
    ruled_out = {"token": "b", "logprob": float("-inf")}
    told = {"content": [{"token": "a", "logprob": float("-inf"), "top_logprobs": [ruled_out]}]}
    _, backend = start(says(chunk({"content": "a"}, logprobs=told), chunk({}, finish="stop")))

    first, *_ = pieces_of(backend, "Say hi", logprobs=1)

    [entry] = first.logprobs
    assert (entry.logprob, entry.top[0].logprob) == (-9999.0, -9999.0)


def test_prompts_are_completed_where_a_server_has_no_chat_template(start: Start) -> None:
    # Given
    def text(word: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": word, "logprobs": None, "finish_reason": finish}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "choices": [choice]}

    last = {**text(""), "choices": [], "usage": usage(4, 3)}
    server, backend = start(says(text(" in"), text(" a", "stop"), last), api="completions")
    # When
    pieces = pieces_of(backend, "Once upon", 9, " a time")
    # Then
    assert server.bodies[0]["prompt"] == "Once upon a time"
    assert text_of(pieces) == " in a"
    assert tokens_of(pieces) == 3
    assert not backend.abilities.chat
    assert backend.abilities.continues


def test_the_sdk_does_not_try_again_by_itself(start: Start) -> None:
    server, backend = start(refuses(500, "The server had an error.", type="server_error"))

    with pytest.raises(BackendError, match="The server had an error"):
        pieces_of(backend, "Say hi")

    assert len(server.bodies) == 1
