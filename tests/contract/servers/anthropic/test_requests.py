"""What a request becomes in the form of the Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("anthropic")

from ledger.errors import InvalidRequest
from tests.contract.servers.anthropic.conftest import CITY, WEATHER, text
from tests.support.apis import ANTHROPIC
from tests.support.fake_anthropic import MODEL, PATH, FakeAnthropic
from tests.support.loaded import loaded, pieces_of, text_of
from tests.support.word_model import GREETING, SHORT
from workers.backends import Backend

DETAILED = {"type": "image_url", "image_url": {"url": "data:image/png;base64,", "detail": "high"}}


def test_a_prompt_is_a_users_turn(backend: Backend, server: FakeAnthropic) -> None:
    pieces = pieces_of(backend, SHORT, 9, stop=("END",))

    assert text_of(pieces) == GREETING
    assert server.of(PATH) == [
        {
            "model": MODEL,
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [text(SHORT)]}],
            "stop_sequences": ["END"],
            "stream": True,
        }
    ]


def test_sampling_is_the_requests_own_or_the_models(
    backend: Backend, server: FakeAnthropic
) -> None:
    pieces_of(backend, SHORT, temperature=0.2, top_k=5)

    [body] = server.of(PATH)
    assert (body["temperature"], body["top_k"]) == (0.2, 5)
    assert "top_p" not in body


def test_sampling_that_somebody_has_set_is_sent_unless_the_request_has_its_own(
    server: FakeAnthropic,
) -> None:
    with loaded(ANTHROPIC.table(server), temperature=0) as backend:
        pieces_of(backend, SHORT)
        pieces_of(backend, SHORT, temperature=1)

    first, second = server.of(PATH)
    assert (first["temperature"], second["temperature"]) == (0, 1)
    assert "top_p" not in first


def test_system_texts_go_first_and_what_one_side_says_is_one_turn(
    backend: Backend, server: FakeAnthropic
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    web = {"url": "https://a.example/b.png", "detail": "auto"}
    linked = {"type": "image_url", "image_url": web}
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": given}}
        for n, given in enumerate(['{"city": "Zürich"}', ""])
    ]
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [text("Look."), image, linked]},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c0", "content": "rain"},
        {"role": "tool", "tool_call_id": "c1", "content": "sun", "name": "weather"},
        {"role": "user", "content": "And now?"},
    ]

    pieces_of(backend, messages=messages, tools=(WEATHER,), tool_choice="none")

    [body] = server.of(PATH)
    use = {"type": "tool_use", "name": "weather"}
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                text("Look."),
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
                },
                {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {**use, "id": "c0", "input": {"city": "Zürich"}},
                {**use, "id": "c1", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c0", "content": [text("rain")]},
                {"type": "tool_result", "tool_use_id": "c1", "content": [text("sun")]},
                text("And now?"),
            ],
        },
    ]
    assert [one["text"] for one in body["system"]] == ["Be short."]
    assert body["tools"] == [{"name": "weather", "description": "Tells it.", "input_schema": CITY}]
    assert body["tool_choice"] == {"type": "none"}


def test_an_answer_that_was_empty_is_no_turn(backend: Backend, server: FakeAnthropic) -> None:
    said = [("user", "Hi"), ("assistant", ""), ("user", SHORT)]

    pieces_of(backend, messages=[{"role": role, "content": words} for role, words in said])

    assert server.of(PATH)[0]["messages"] == [
        {"role": "user", "content": [text("Hi"), text(SHORT)]}
    ]


def test_a_json_schema_is_the_apis_structured_output(
    backend: Backend, server: FakeAnthropic
) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}

    pieces_of(backend, SHORT, response_format=wanted)

    assert server.of(PATH)[0]["output_config"] == {
        "format": {"type": "json_schema", "schema": CITY}
    }


def test_any_json_object_is_what_a_tool_is_called_with(
    backend: Backend, server: FakeAnthropic
) -> None:
    pieces = pieces_of(backend, SHORT, response_format={"type": "json_object"})

    assert json.loads(text_of(pieces)) == {"city": "Zürich", "days": [1, 2]}
    assert pieces[-1].finish_reason == "stop"
    assert not any(piece.tool_calls for piece in pieces)
    assert server.of(PATH)[0]["tool_choice"] == {"type": "tool", "name": "json"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}, "leave name out"),
        ({"prompt": "Hi", "response_format": {"type": "grammar"}}, "anthropic takes"),
        (
            {"prompt": "Hi", "response_format": {"type": "json_object"}, "tools": (WEATHER,)},
            "no json_object beside tools",
        ),
        ({"messages": [{"role": "user", "content": [DETAILED]}]}, "no detail of an image"),
        ({"prompt": "Hi", "tool_choice": "required"}, "no tools to choose from"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "anthropic answers a user"),
        ({"prompt": "Hi", "tools": ({"type": "browser"},)}, "tools: anthropic takes"),
        (
            {"prompt": "Hi", "tools": (WEATHER,), "tool_choice": {"type": "function"}},
            "tool_choice: it takes",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"function": {"name": "f", "arguments": "["}}],
                    }
                ]
            },
            "the call of 'f' are no JSON object",
        ),
    ],
)
def test_a_request_that_the_api_has_no_form_for_is_refused_before_it_is_sent(
    backend: Backend, server: FakeAnthropic, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        pieces_of(backend, **fields)
    assert server.of(PATH) == []
