"""Requests: what is refused, with which sentence, and that the rest arrives as it was sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidRequest
from ledger.messages import Request, State, parse_request
from ledger.priority import Priority


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def said_by(role: str, content: object, **more: object) -> dict[str, Any]:
    return {"prompt": None, "messages": [{"role": role, "content": content, **more}]}


BAD: list[tuple[dict[str, Any], str]] = [
    (said_by("user", [{"type": "text"}]), "messages.0.content.0.text.text:"),
    (said_by("user", [{"type": "film"}]), "messages.0.content.0:"),
    (said_by("user", 5), "messages.0.content:"),
    (said_by("user", None), "content is missing"),
    (said_by("user", "a", tool_calls=[{"id": "1"}]), "tool_calls are an assistant's"),
    ({"agent_id": ""}, "agent_id: String should have at least 1 character."),
    ({"agent_id": "x" * 201}, "agent_id: String should have at most 200 characters."),
    ({"agent_id": None}, "agent_id: Input should be a valid string."),
    ({"agent_id": "a\x00b"}, "agent_id: control characters are not allowed."),
    ({"tenant": "a\n"}, "tenant: control characters are not allowed."),
    ({"session_id": "\x7f"}, "session_id: control characters are not allowed."),
    ({"agent_id": "\ud800"}, "agent_id: the text has a lone surrogate"),
    ({"prompt": "\ud800"}, "prompt: the text has a lone surrogate"),
    ({"model": "\ud800"}, "model: the text has a lone surrogate"),
    ({"stop": "\ud800"}, "stop.0: the text has a lone surrogate"),
    ({"metadata": {"k": "\ud800"}}, "metadata.k: the text has a lone surrogate"),
    ({"metadata": {"\ud800": "v"}}, "the text has a lone surrogate"),
    ({"metadata": {"k": "x" * 513}}, "metadata.k: Value should have at most 512"),
    ({"metadata": {"k" * 65: "v"}}, "should have at most 64"),
    ({"metadata": dict.fromkeys(map(str, range(17)), "v")}, "metadata: Dictionary should have at"),
    ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1."),
    ({"max_tokens": -5}, "max_tokens: Input should be greater than or equal to 1."),
    ({"max_tokens": 10**30}, "max_tokens: Input should be less than or equal to 1000000."),
    ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": True}, "max_tokens: it takes a number, not true or false."),
    ({"temperature": float("nan")}, "temperature: Input should be a finite number."),
    ({"timeout_s": float("inf")}, "timeout_s: Input should be a finite number."),
    ({"timeout_s": 0}, "timeout_s: Input should be greater than 0."),
    ({"top_p": 0}, "top_p: Input should be greater than 0."),
    ({"seed": -1}, "seed: Input should be greater than or equal to 0."),
    ({"logit_bias": {"1": float("nan")}}, "logit_bias.1: Input should be a finite number."),
    ({"stop": [""]}, "stop.0: String should have at least 1 character."),
    ({"stop": ["x"] * 17}, "stop: Tuple should have at most 16 items"),
    ({"prompt": None}, "give either prompt or messages, and not both."),
    ({"messages": [{"role": "user", "content": "x"}]}, "give either prompt or messages"),
    ({"prompt": None, "messages": []}, "messages is empty."),
    ({"prompt": None, "messages": [{"role": "boss", "content": "x"}]}, "messages.0.role: Input"),
    ({"prompt": None, "messages": [{"role": "user", "content": "\udfff"}]}, "messages.0.content:"),
    ({"prompt": None, "messages": [{"role": "user", "content": "x", "to": "y"}]}, "messages.0.to:"),
    ({"priority": "super"}, "priority: it takes URGENT, HIGH, NORMAL or LOW"),
    ({"priority": 1}, "priority: it takes URGENT, HIGH, NORMAL or LOW"),
    ({"priority": False}, "priority: it takes URGENT, HIGH, NORMAL or LOW"),
    ({"response_format": {"a": float("nan")}}, "response_format: JSON cannot carry this"),
    ({"response_format": {"a": object()}}, "response_format: JSON cannot carry this"),
    ({"response_format": {"a": "\ud800"}}, "response_format: JSON cannot carry this"),
    ({"response_format": {"\ud800": "a"}}, "response_format: JSON cannot carry this"),
    ({"response_format": nested(101)}, "response_format: it is nested deeper than 100 levels."),
    ({"response_format": nested(100_000)}, "response_format: JSON cannot carry this"),
    ({"tools": [{"a": float("inf")}]}, "tools.0: JSON cannot carry this"),
    ({"tempreature": 1}, "Unknown option 'tempreature'; known: agent_id, cache,"),
    ({"schema_version": 2}, "schema_version: Input should be 1."),
]


@pytest.mark.parametrize(("fields", "expected"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_a_bad_request_is_refused_with_one_sentence_that_names_the_field(
    fields: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(**{"prompt": "hi", "agent_id": "a", **fields})
    said = str(caught.value)
    assert expected in said
    assert said.endswith(".")
    assert "\n" not in said


def test_a_request_without_an_agent_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="agent_id: Field required"):
        parse_request(prompt="hi")


@pytest.mark.parametrize("value", ["urgent", "URGENT", 0, Priority.URGENT])
def test_a_priority_may_be_a_name_or_a_number(value: Any) -> None:
    assert parse_request(prompt="x", agent_id="a", priority=value).priority is Priority.URGENT


def test_one_stop_text_is_a_list_of_one() -> None:
    assert parse_request(prompt="x", agent_id="a", stop="END").stop == ("END",)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=50)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {"prompt": texts, "agent_id": ids},
        optional={
            "session_id": ids,
            "tenant": ids,
            "priority": st.sampled_from(Priority),
            "max_tokens": st.integers(1, 1_000_000),
            "temperature": st.floats(0, 10),
            "stop": st.lists(texts.filter(bool), max_size=3),
            "seed": st.integers(0, 2**63 - 1),
            "response_format": st.dictionaries(texts, json_values, max_size=3),
            "metadata": st.dictionaries(
                texts.filter(lambda key: len(key) <= 64),
                texts.filter(lambda value: len(value) <= 512),
                max_size=3,
            ),
        },
    )
)
def test_a_request_arrives_at_the_worker_as_it_was_accepted(fields: dict[str, Any]) -> None:
    request = parse_request(**fields)
    assert Request.model_validate_json(request.to_json()) == request


def test_the_deepest_json_that_is_accepted_arrives() -> None:
    request = parse_request(prompt="x", agent_id="a", tools=[nested(99)])
    assert Request.model_validate_json(request.to_json()) == request


def test_only_waiting_and_running_jobs_still_change() -> None:
    assert {state for state in State if not state.terminal} == {State.QUEUED, State.RUNNING}


def test_a_message_of_parts_and_calls_travels_as_it_is() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is "}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "7", "tool_call_id": "c1"},
    ]

    request = parse_request(agent_id="a", messages=messages)
    again = Request.model_validate_json(request.to_json())

    assert again == request
    assert request.texts == ["What is ", "", "7"]
    assert [part.image_url.url for part in again.images] == ["data:image/png;base64,AA=="]
    assert again.messages is not None
    assert again.messages[1].tool_calls == (call,)
