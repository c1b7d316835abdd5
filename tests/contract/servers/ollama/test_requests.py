"""What a request becomes in Ollama's form."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ollama")

from ledger.errors import InvalidRequest
from tests.contract.servers.ollama.conftest import CITY
from tests.support.fake_ollama import FakeOllama
from tests.support.loaded import pieces_of
from tests.support.word_model import SHORT
from workers.backends import Backend

DETAILED = {"type": "image_url", "image_url": {"url": "data:image/png;base64,", "detail": "low"}}


def test_a_prompt_is_a_users_message_and_nothing_of_it_may_be_left_out(
    backend: Backend, server: FakeOllama
) -> None:
    pieces_of(backend, SHORT, 9, top_k=5, seed=7, stop=("END",))

    [body] = server.of("/api/chat")
    assert body["messages"] == [{"role": "user", "content": SHORT}]
    assert body["truncate"] is body["shift"] is False
    assert body["options"] == {
        "num_ctx": 4096,
        "num_predict": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "seed": 7,
        "stop": ["END"],
    }


def test_a_conversation_with_tools_and_images_is_translated(
    backend: Backend, server: FakeOllama
) -> None:
    call = {"name": "weather", "arguments": '{"city": "Zürich"}'}
    url = "data:image/png;base64,/etc/hosts"
    image = {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, image]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": call}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]

    pieces_of(backend, messages=messages)

    assert server.of("/api/chat")[0]["messages"] == [
        {"role": "system", "content": "Be short."},
        # Base64 that looks like a path is sent as it is; no file is read for it.
        {"role": "user", "content": "Look.", "images": ["/etc/hosts"]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"function": {"name": "weather", "arguments": {"city": "Zürich"}}, "id": "c1"}
            ],
        },
        {"role": "tool", "content": "rain", "tool_name": "weather", "tool_call_id": "c1"},
    ]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]},
            "ollama fetches no image",
        ),
        ({"content": [DETAILED]}, "ollama has no detail of an image"),
        ({"content": "Hi", "name": "Ann"}, "ollama has no name of who speaks"),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": "{"}}],
            },
            "the arguments of the call of 'f' are no JSON object",
        ),
    ],
)
def test_a_message_that_it_has_no_form_for_is_refused_before_it_is_sent(
    backend: Backend, server: FakeOllama, message: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        pieces_of(backend, messages=[{"role": "user", **message}])
    assert server.of("/api/chat") == []


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"schema": CITY}}, CITY),
    ],
)
def test_a_response_format_is_ollamas_format(
    backend: Backend, server: FakeOllama, wanted: dict[str, Any], sent: Any
) -> None:
    pieces_of(backend, SHORT, response_format=wanted)

    assert server.of("/api/chat")[0].get("format") == sent


def test_another_response_format_is_refused(backend: Backend) -> None:
    with pytest.raises(InvalidRequest, match="response_format: ollama takes"):
        pieces_of(backend, SHORT, response_format={"type": "grammar", "grammar": "x"})
