"""What is sent to which server."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.tool_calls import put_together
from tests.contract.servers.openai.conftest import KEY, Serve, Start
from tests.support.fake_openai import MODEL, answers_with, chunk, says
from tests.support.loaded import loaded, pieces_of, request_of
from workers.backends import Run


def test_what_a_request_says_is_sent_as_it_is(start: Start) -> None:
    # Given
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "a cat", "tool_call_id": "c1"},
    ]
    server, backend = start(answers_with("{}"))
    # When
    pieces_of(
        backend,
        messages=messages,
        response_format=schema,
        temperature=0.5,
        top_p=0.8,
        top_k=3,
        stop=["END"],
        seed=7,
        logit_bias={"5": 1.0},
    )
    # Then
    sent = server.bodies[0]
    assert sent["messages"] == messages
    assert sent["response_format"] == schema
    assert {name: sent[name] for name in ("temperature", "top_p", "top_k", "seed")} == {
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": 3,
        "seed": 7,
    }
    assert (sent["stop"], sent["logit_bias"]) == (["END"], {"5": 1.0})
    assert (sent["model"], sent["max_tokens"], sent["stream"]) == (MODEL, 50, True)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_only_vllm_is_sent_what_only_vllm_takes(start: Start) -> None:
    own = ("request_id", "cache_salt", "priority")
    vllm, backend = start(answers_with("a"), owner="vllm", priority=True)
    other, plain = start(answers_with("a"), priority=True)

    for tenant in ("acme", "acme", "globex"):
        low = request_of("Say hi", tenant=tenant, priority="LOW")
        list(backend.stream(Run(low, 5, job_id="j1", attempt=2)))
    pieces_of(plain, "Say hi", priority="LOW")

    ids, salts, priorities = ([body[name] for body in vllm.bodies] for name in own)
    assert [one[:5] for one in ids] == ["j1-2-"] * 3
    assert len(set(ids)) == 3
    assert salts[0] == salts[1] != salts[2]
    assert "acme" not in salts[0]
    assert priorities == [9, 9, 9]
    assert not set(own) & other.bodies[0].keys()


def test_openai_itself_gets_its_own_names_and_no_temperature_that_nobody_gave(
    start: Start,
) -> None:
    server, backend = start(answers_with("a"), server="openai")

    pieces_of(backend, "Say hi", 7)

    assert server.bodies[0]["max_completion_tokens"] == 7
    assert not {"temperature", "top_p", "max_tokens"} & server.bodies[0].keys()
    assert "top_k" not in backend.abilities.options


def test_further_fields_are_sent_with_every_request(start: Start) -> None:
    server, backend = start(answers_with("a"), extra_body={"min_p": 0.1, "thinking": {"on": 1}})

    pieces_of(backend, "Say hi")

    assert (server.bodies[0]["min_p"], server.bodies[0]["thinking"]) == (0.1, {"on": 1})


@pytest.mark.parametrize(
    ("extra", "sent"),
    [
        ({"anthropic": {"thinking": []}}, {}),
        (
            {"anthropic": {"thinking": []}, "google": {"thought_signature": "s"}},
            {"extra_content": {"google": {"thought_signature": "s"}}},
        ),
        (None, {}),
    ],
)
def test_what_anthropic_wants_back_with_a_call_is_not_sent_elsewhere(
    start: Start, extra: Any, sent: dict[str, Any]
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [{**call, "extra_content": extra}]},
        {"role": "tool", "content": "a cat", "tool_call_id": "c1"},
    ]
    server, backend = start(answers_with("a"))

    pieces_of(backend, messages=messages)

    assert server.bodies[0]["messages"][0]["tool_calls"] == [{**call, **sent}]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_what_was_thought_before_a_call_goes_back_to_its_own_server_alone(
    start: Start, serve: Serve, name: str
) -> None:
    # Given a model that thinks, and calls a tool
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    thought = [chunk({name: "Let me "}), chunk({name: "see."})]
    calls = chunk({name: None, "tool_calls": [{"index": 0, **call}]})
    server, backend = start(says(*thought, calls, chunk({}, finish="tool_calls")))
    answered = put_together(
        delta for piece in pieces_of(backend, "Say hi") for delta in piece.tool_calls
    )
    messages = [
        {"role": "assistant", "content": None, "tool_calls": list(answered)},
        {"role": "tool", "content": "a cat", "tool_call_id": "c1"},
    ]
    # When the call goes back with the result, there and elsewhere
    pieces_of(backend, messages=messages)
    elsewhere = serve(answers_with("a"))
    url = elsewhere.url.replace("127.0.0.1", "localhost")
    with loaded({"backend": "openai", "base_url": url, "model": MODEL}) as other:
        pieces_of(other, messages=messages)
    # Then
    same = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert server.bodies[1]["messages"][0] == {**same, name: "Let me see."}
    assert elsewhere.bodies[0]["messages"][0] == same


def test_a_model_that_is_not_named_is_the_servers_own(start: Start) -> None:
    server, backend = start(answers_with("a"), model=None)

    pieces_of(backend, "Say hi")

    assert server.bodies[0]["model"] == MODEL
