"""Tools are offered and called in OpenAI's form."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("anthropic")

from ledger.tool_calls import put_together
from tests.contract.servers.anthropic.conftest import WEATHER, text
from tests.support.fake_anthropic import (
    PATH,
    STOP,
    THOUGHTS,
    FakeAnthropic,
    block,
    ended,
    send_events,
)
from tests.support.loaded import pieces_of, text_of
from tests.support.word_model import SHORT
from workers.backends import Backend

SIGNATURE = THOUGHTS[-1]["signature"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"type": "tool", "name": "weather"},
        ),
    ],
)
def test_a_choice_of_tools_is_translated(
    backend: Backend, server: FakeAnthropic, choice: Any, sent: dict[str, str]
) -> None:
    pieces_of(backend, SHORT, tools=(WEATHER,), tool_choice=choice)

    assert server.of(PATH)[0]["tool_choice"] == sent


def test_calls_of_tools_come_in_openais_form_and_go_back_with_the_thoughts_before_them(
    backend: Backend, server: FakeAnthropic
) -> None:
    # Given a model that thinks and calls
    asked = {"role": "user", "content": "think: how is the weather?"}
    pieces = pieces_of(backend, messages=[asked], tools=(WEATHER,))
    calls = put_together(delta for piece in pieces for delta in piece.tool_calls)
    [call] = calls
    assert call["function"] == {
        "name": "weather",
        "arguments": '{"city": "Zürich", "days": [1, 2]}',
    }
    assert pieces[-1].finish_reason == "tool_calls"
    assert sum(piece.tokens for piece in pieces) == 30

    # When its call goes back with the result
    answered = [
        asked,
        {"role": "assistant", "content": "Wait.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
    ]
    pieces_of(backend, messages=answered, tools=(WEATHER,))

    # Then what it thought is there again, signed as it was
    thought = {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE}
    assert server.of(PATH)[-1]["messages"][1]["content"] == [
        thought,
        text("Wait."),
        {
            "type": "tool_use",
            "id": call["id"],
            "name": "weather",
            "input": {"city": "Zürich", "days": [1, 2]},
        },
    ]


@pytest.mark.parametrize(
    ("given", "arguments"), [({}, "{}"), ({"city": "Zürich"}, '{"city": "Zürich"}')]
)
def test_arguments_that_come_whole_with_the_beginning_of_a_call_are_its_own_also_none(
    backend: Backend, server: FakeAnthropic, given: dict[str, str], arguments: str
) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": given}
    events = [server.start(5), *block(0, use, []), ended("tool_use", 9), STOP]
    server.script.append(lambda one: send_events(one, events))

    pieces = pieces_of(backend, SHORT, tools=(WEATHER,))

    [call] = put_together(delta for piece in pieces for delta in piece.tool_calls)
    assert call["function"] == {"name": "now", "arguments": arguments}


def test_a_tool_that_the_server_calls_itself_is_no_call_of_the_answer(
    backend: Backend, server: FakeAnthropic
) -> None:
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    query = [{"type": "input_json_delta", "partial_json": '{"query": "weather"}'}]
    said = block(1, text("Rain."), [])
    events = [server.start(5), *block(0, use, query), *said, ended("end_turn", 9), STOP]
    server.script.append(lambda one: send_events(one, events))

    pieces = pieces_of(backend, SHORT)

    assert [piece.tool_calls for piece in pieces if piece.tool_calls] == []
    assert text_of(pieces) == "Rain."
