"""The backend anthropic, on a server that speaks its protocol."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import (
    ApexError,
    BackendAuth,
    BackendError,
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    InvalidSetting,
    ModelNotFound,
    RateLimited,
)
from ledger.tool_calls import put_together
from tests.support.fake_anthropic import (
    KEY,
    MODEL,
    PATH,
    STOP,
    THOUGHTS,
    FakeAnthropic,
    block,
    ended,
    failed,
    refuse,
    send_events,
)
from tests.support.fake_server import PATIENCE_S, Exchange
from tests.support.loaded import created, loaded, pieces_of, run_of, served, text_of
from tests.support.waiting import eventually
from tests.support.word_model import LONG, SHORT, SLOW
from workers.backends import Backend

pytest.importorskip("anthropic")

GREETING = "Hello from Zürich."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": CITY},
}
DETAILED = {"type": "image_url", "image_url": {"url": "data:image/png;base64,", "detail": "high"}}
SIGNATURE = THOUGHTS[-1]["signature"]
EPHEMERAL = {"type": "ephemeral", "ttl": "5m"}


@pytest.fixture
def server() -> Iterator[FakeAnthropic]:
    with served(FakeAnthropic()) as server:
        yield server


def table(server: FakeAnthropic, **options: Any) -> dict[str, Any]:
    same = {"backend": "anthropic", "model": MODEL, "base_url": server.url, "api_key": KEY}
    return {**same, **options}


@pytest.fixture
def backend(server: FakeAnthropic) -> Iterator[Backend]:
    with loaded(table(server)) as backend:
        yield backend


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


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
    with loaded(table(server), temperature=0) as backend:
        pieces_of(backend, SHORT)
        pieces_of(backend, SHORT, temperature=1)

    first, second = server.of(PATH)
    assert (first["temperature"], second["temperature"]) == (0, 1)
    assert "top_p" not in first


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (
            {"thinking": "adaptive", "effort": "low"},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            },
        ),
        (
            {"thinking_tokens": 2048},
            {"thinking": {"type": "enabled", "display": "summarized", "budget_tokens": 2048}},
        ),
        ({"thinking": "disabled"}, {"thinking": {"type": "disabled"}}),
        ({"extra_body": {"service_tier": "standard_only"}}, {"service_tier": "standard_only"}),
    ],
)
def test_the_instances_table_sets_what_is_the_same_for_all_requests(
    server: FakeAnthropic, options: dict[str, Any], sent: dict[str, Any]
) -> None:
    with loaded(table(server, **options, extra_headers={"anthropic-beta": "b-1"})) as backend:
        pieces_of(backend, SHORT, 4096)

    [body] = server.of(PATH)
    assert body.items() >= sent.items()
    assert server.asked[-1].headers["anthropic-beta"] == "b-1"


def test_an_answer_that_is_shorter_than_thoughts_may_be_goes_without_them(
    server: FakeAnthropic,
) -> None:
    with loaded(table(server, thinking_tokens=1024)) as backend:
        assert text_of(pieces_of(backend, SHORT, 1024)) == GREETING
        pieces_of(backend, SHORT, 1025)

    short, long = server.of(PATH)
    assert "thinking" not in short
    assert long["thinking"]["budget_tokens"] == 1024


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": 1}, "the backend anthropic has no option 'temprature'; it has base_url"),
        ({"thinking_tokens": 5}, "thinking_tokens: "),
        ({"thinking": "adaptive", "thinking_tokens": 2048}, "thinking or thinking_tokens"),
        ({"extra_body": {"model": "x"}}, "model is set by apexq"),
        ({"model": None}, "anthropic needs the name of a model"),
        ({"base_url": "localhost:8000"}, "takes a URL such as http://localhost:8000"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    server: FakeAnthropic, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        created(table(server, **options))


def test_it_knows_the_window_and_the_images_from_the_api(backend: Backend) -> None:
    assert backend.abilities.window == 200_000
    assert backend.abilities.images
    assert not backend.abilities.continues


def test_a_server_that_tells_nothing_of_its_models_is_used_without(server: FakeAnthropic) -> None:
    with loaded(table(server, model="another", window=8192)) as backend:
        assert backend.abilities.window == 8192


def test_a_key_that_is_not_accepted_keeps_the_instance_from_starting(
    server: FakeAnthropic,
) -> None:
    backend = created(table(server, api_key="sk-ant-wrong"))

    with pytest.raises(BackendAuth, match="invalid x-api-key") as raised:
        backend.load()

    assert "sk-ant-wrong" not in f"{raised.value!r} {raised.value.facts} {vars(backend)}"


@pytest.mark.parametrize(
    ("variable", "said"), [("HOME", "there is none"), ("ANTHROPIC_CONFIG_DIR", "not found")]
)
def test_without_any_key_it_says_so(
    server: FakeAnthropic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, said: str
) -> None:
    for name in ("API_KEY", "AUTH_TOKEN", "PROFILE", "CONFIG_DIR"):
        monkeypatch.delenv(f"ANTHROPIC_{name}", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    backend = created({**table(server), "api_key": None})

    with pytest.raises(BackendAuth, match=said):
        backend.load()


def test_key_and_server_may_be_those_of_the_settings(server: FakeAnthropic) -> None:
    here = {"backend": "anthropic", "model": MODEL}

    with loaded(here, api_key=KEY, api_base=f"{server.url}/v1") as backend:
        assert text_of(pieces_of(backend, SHORT)) == GREETING


def test_the_apis_counts_are_the_answers(backend: Backend, server: FakeAnthropic) -> None:
    server.cached = (100, 20)

    pieces = pieces_of(backend, LONG, 7)

    counted = len(json.dumps(server.of(PATH)[0]["messages"]).split())
    assert [piece.prompt_tokens for piece in pieces if piece.prompt_tokens] == [counted + 120]
    assert sum(piece.cached_tokens for piece in pieces) == 100
    assert sum(piece.tokens for piece in pieces) == 7
    assert pieces[-1].finish_reason == "length"


def test_until_the_end_a_long_piece_counts_for_some_of_its_tokens(
    backend: Backend, server: FakeAnthropic
) -> None:
    deltas = [{"type": "text_delta", "text": "word " * 30}] * 2
    events = [server.start(5), *block(0, text(""), deltas), ended("end_turn", 61), STOP]
    server.script.append(lambda one: send_events(one, events))

    pieces = pieces_of(backend, LONG, 200)

    assert [piece.tokens for piece in pieces] == [25, 25, 11]


def test_the_last_token_waits_for_the_end_which_has_the_counts(
    backend: Backend, server: FakeAnthropic
) -> None:
    deltas = [{"type": "text_delta", "text": "word " * 30}]
    events = [server.start(5), *block(0, text(""), deltas), ended("max_tokens", 20), STOP]
    server.script.append(lambda one: send_events(one, events))

    pieces = pieces_of(backend, LONG, 20)

    assert [(piece.tokens, piece.finish_reason) for piece in pieces] == [(19, None), (1, "length")]


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


def test_what_requests_have_in_common_is_cached(backend: Backend, server: FakeAnthropic) -> None:
    system = {"role": "system", "content": "Be short."}
    first = [system, {"role": "user", "content": "Hi"}]
    later = [*first, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go"}]

    pieces_of(backend, messages=first)
    pieces_of(backend, messages=later)
    pieces_of(backend, SHORT, tools=(WEATHER,))

    one, two, three = server.of(PATH)
    assert one["system"] == two["system"] == [{**text("Be short."), "cache_control": EPHEMERAL}]
    assert "cache_control" not in one  # its question does not come again
    assert two["cache_control"] == EPHEMERAL
    assert three["tools"][-1]["cache_control"] == EPHEMERAL


def test_without_prompt_cache_nothing_is(server: FakeAnthropic) -> None:
    turns = [{"role": role, "content": "a"} for role in ("system", "user", "assistant", "user")]

    with loaded(table(server, prompt_cache=False)) as backend:
        pieces_of(backend, messages=turns)

    assert "cache_control" not in json.dumps(server.of(PATH))


def test_thoughts_are_told_apart_from_the_answer(backend: Backend) -> None:
    pieces = pieces_of(backend, f"think, then say {SHORT}")

    assert "".join(piece.reasoning for piece in pieces) == "Let me see."
    assert text_of(pieces) == GREETING


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


def test_a_call_without_arguments_has_an_empty_object(
    backend: Backend, server: FakeAnthropic
) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}
    events = [server.start(5), *block(0, use, []), ended("tool_use", 9), STOP]
    server.script.append(lambda one: send_events(one, events))

    pieces = pieces_of(backend, SHORT, tools=(WEATHER,))

    [call] = put_together(delta for piece in pieces for delta in piece.tool_calls)
    assert call["function"] == {"name": "now", "arguments": "{}"}


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


LONG_CONTEXT = "Extra usage is required for long context requests"
LONG_PROMPT = "prompt is too long: 211180 tokens > 200000 maximum"
LONG_ANSWER = "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000"
BLOCKED = "Output blocked by content filtering policy"
OLD_OPTION = "`temperature` is deprecated for this model"


@pytest.mark.parametrize(
    ("status", "type_", "words", "headers", "kind", "facts"),
    [
        (
            400,
            "invalid_request_error",
            LONG_PROMPT,
            {},
            ContextTooLong,
            {"prompt_tokens": 211180, "window": 200000, "retriable": False},
        ),
        (400, "invalid_request_error", LONG_ANSWER, {}, ContextTooLong, {"window": 200000}),
        (413, "request_too_large", "Request exceeds the maximum size", {}, ContextTooLong, {}),
        (400, "invalid_request_error", BLOCKED, {}, ContentRefused, {"retriable": False}),
        (400, "invalid_request_error", OLD_OPTION, {}, BackendError, {"retriable": False}),
        (401, "authentication_error", "invalid x-api-key", {}, BackendAuth, {"retriable": False}),
        (402, "billing_error", "Your credit balance is too low", {}, BackendAuth, {}),
        (403, "permission_error", "not for this workspace", {}, BackendAuth, {}),
        (404, "not_found_error", f"model: {MODEL}", {}, ModelNotFound, {"model": MODEL}),
        (
            429,
            "rate_limit_error",
            "This request would exceed your rate limit",
            {"retry-after": "17"},
            RateLimited,
            {"retry_after_s": 17.0, "retriable": True},
        ),
        (429, "rate_limit_error", LONG_CONTEXT, {}, ContextTooLong, {"retriable": False}),
        (429, "rate_limit_error", "Slow down", {}, RateLimited, {"retry_after_s": 5.0}),
        # As vLLM says it, which has types of its own.
        (404, "NotFoundError", "The model `x` does not exist", {}, ModelNotFound, {}),
        (400, "BadRequestError", "maximum context length is 4096", {}, ContextTooLong, {}),
        (529, "overloaded_error", "Overloaded", {}, BackendError, {"retriable": True}),
        (500, "api_error", "Internal server error", {}, BackendError, {"retriable": True}),
        (504, "timeout_error", "Timed out", {}, BackendError, {"retriable": True}),
    ],
)
def test_errors_are_told_apart_in_the_apis_words(
    backend: Backend,
    server: FakeAnthropic,
    status: int,
    type_: str,
    words: str,
    headers: dict[str, str],
    kind: type[ApexError],
    facts: dict[str, Any],
) -> None:
    server.script.append(lambda one: refuse(one, status, type_, words, headers))

    with pytest.raises(BackendError) as raised:
        pieces_of(backend, SHORT)

    assert type(raised.value) is kind
    assert words in raised.value.message
    assert raised.value.facts.items() >= {"backend": "anthropic", "said": words, **facts}.items()
    assert len(server.of(PATH)) == 1  # the SDK's own retries are off
    assert text_of(pieces_of(backend, SHORT)) == GREETING


def test_a_page_of_a_proxy_in_the_models_place_is_waited_out(server: FakeAnthropic) -> None:
    server.pages.append("<html>Back soon</html>")
    backend = created(table(server))
    said: list[str] = []

    backend.load(said.append)

    assert text_of(pieces_of(backend, SHORT)) == GREETING
    backend.close()
    assert "what it sent is no model" in said[0]


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_the_key_of_the_environment_is_in_no_message(
    server: FakeAnthropic, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"{KEY}\n")
    server.script.append(lambda one: refuse(one, 401, "authentication_error", f"bad key {KEY}"))

    with (
        loaded({"backend": "anthropic", "model": MODEL, "base_url": server.url}) as backend,
        pytest.raises(BackendAuth) as raised,
    ):
        pieces_of(backend, SHORT)

    assert raised.value.said == "bad key ***"


def test_an_error_of_a_proxy_is_told_by_its_status(backend: Backend, server: FakeAnthropic) -> None:
    server.script.append(lambda one: one.reply(502, "<html>Bad Gateway</html>"))
    server.script.append(lambda one: one.reply(429, "slow down", {"retry-after": "3"}))

    with pytest.raises(BackendError, match="Bad Gateway") as bad:
        pieces_of(backend, SHORT)
    with pytest.raises(RateLimited, match="slow down") as busy:
        pieces_of(backend, SHORT)

    assert bad.value.retriable
    assert busy.value.retry_after_s == 3.0


@pytest.mark.parametrize(
    ("type_", "words", "kind", "retriable"),
    [
        ("overloaded_error", "Overloaded", BackendError, True),
        ("api_error", "Internal server error", BackendError, True),
        ("InternalServerError", "of another server", BackendError, True),
        ("invalid_request_error", "of any other kind", BackendError, False),
        ("rate_limit_error", "Slow down", RateLimited, True),
        ("invalid_request_error", BLOCKED, ContentRefused, False),
    ],
)
def test_an_error_in_the_midst_of_an_answer_ends_it(
    backend: Backend, server: FakeAnthropic, type_: str, words: str, kind: type, retriable: bool
) -> None:
    begun = [server.start(5), *itertools.islice(block(0, text("Once"), []), 1)]
    server.script.append(lambda one: send_events(one, [*begun, failed(type_, words)]))
    pieces = backend.stream(run_of(LONG))

    assert next(pieces).text == "Once"
    with pytest.raises(BackendError) as raised:
        next(pieces)

    assert (type(raised.value), raised.value.said) == (kind, words)
    assert raised.value.retriable is retriable


def test_a_model_that_declines_is_an_error_in_its_words(backend: Backend) -> None:
    with pytest.raises(ContentRefused, match="Not this") as raised:
        pieces_of(backend, "How do I do harm?")
    assert not raised.value.retriable


def test_what_is_not_known_says_nothing(backend: Backend, server: FakeAnthropic) -> None:
    delta = {"type": "text_delta", "text": GREETING}
    events = [
        server.start(5),
        ("rumour", {"type": "rumour", "of": [1]}),
        *block(0, {"type": "hologram", "hologram": {}}, [{"type": "light_delta", "light": 1}]),
        *block(1, text(""), [{"type": "citations_delta", "citation": {"type": "new"}}, delta]),
        ended("end_turn", 4),
        STOP,
    ]
    server.script.append(lambda one: send_events(one, events))

    pieces = pieces_of(backend, SHORT)

    assert text_of(pieces) == GREETING
    assert pieces[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("something_new", "stop"),
    ],
)
def test_why_it_ended_is_said_in_our_words(
    backend: Backend, server: FakeAnthropic, reason: str, end: str
) -> None:
    events = [server.start(5), *block(0, text("Once"), []), ended(reason, 4), STOP]
    server.script.append(lambda one: send_events(one, events))

    assert pieces_of(backend, SHORT)[-1].finish_reason == end


def test_an_answer_that_says_how_it_ended_is_complete(
    backend: Backend, server: FakeAnthropic
) -> None:
    events = [server.start(5), *block(0, text("Once"), []), ended("end_turn", 4)]
    server.script.append(lambda one: send_events(one, events))

    assert pieces_of(backend, SHORT)[-1].finish_reason == "stop"


def cut_in_the_midst(one: Exchange) -> None:
    send_events(one, [*itertools.islice(block(0, text("Once"), []), 1)], end=False)
    one.send(b"event: content_block_delta\ndata: {")
    one.cut()


def without_an_end(one: Exchange) -> None:
    send_events(one, block(0, text("Once"), []))


def not_json(one: Exchange) -> None:
    one.begin("text/event-stream")
    one.send(b"event: message_start\ndata: {oops\n\n")
    one.end()


@pytest.mark.parametrize("answer", [cut_in_the_midst, without_an_end, not_json])
def test_an_answer_that_breaks_off_may_be_tried_again(
    backend: Backend, server: FakeAnthropic, answer: Any
) -> None:
    server.script.append(answer)

    with pytest.raises(BackendError, match="was lost") as raised:
        pieces_of(backend, LONG)

    assert raised.value.retriable
    assert text_of(pieces_of(backend, SHORT)) == GREETING


def test_a_server_that_does_not_come_is_named(server: FakeAnthropic) -> None:
    backend = created(table(server), load_timeout_s=0.01)
    server.close()

    with pytest.raises(BackendError, match=f"The connection to {server.url} was lost") as raised:
        backend.load()
    assert raised.value.retriable


def test_a_server_that_comes_later_is_waited_for(server: FakeAnthropic) -> None:
    # Given
    backend = created(table(server))
    port = int(server.url.rpartition(":")[2])
    server.close()
    came: list[FakeAnthropic] = []

    def start(said: str) -> None:
        assert said.startswith("waiting for the server: ")
        if not came:
            came.append(FakeAnthropic(port))

    # When
    backend.load(start)
    # Then
    assert backend.health() == ""
    backend.close()
    came[0].close()


def test_a_connection_serves_one_answer_after_the_other(
    backend: Backend, server: FakeAnthropic
) -> None:
    for _ in range(5):
        pieces = backend.stream(run_of(SHORT))
        while next(pieces).finish_reason is None:
            pass
        pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

    assert len(server.connections) == 1


def test_its_health_is_the_servers(server: FakeAnthropic) -> None:
    with loaded(table(server)) as backend:
        assert backend.health() == ""
        server.close()
        assert "was lost" in backend.health()
    assert backend.health() == "The model is not loaded."


def test_a_stop_before_the_first_byte_leaves_the_server(
    backend: Backend, server: FakeAnthropic
) -> None:
    run = run_of(SLOW)
    reader = threading.Thread(target=lambda: list(backend.stream(run)))
    reader.start()
    eventually(lambda: server.of(PATH))

    run.stop.set()

    assert server.left.wait(PATIENCE_S)
    reader.join(PATIENCE_S)
    assert not reader.is_alive()


def test_a_stop_while_it_waits_for_the_next_token_leaves_the_server(
    backend: Backend, server: FakeAnthropic
) -> None:
    def one_word(one: Exchange) -> None:
        send_events(one, itertools.islice(block(0, text("Once"), []), 1), end=False)
        one.wait_until_left()

    server.script.append(one_word)
    run = run_of(LONG)
    pieces = backend.stream(run)
    assert next(pieces).text == "Once"

    run.stop.set()

    assert list(pieces) == []
    assert server.left.wait(PATIENCE_S)


def test_an_iterator_that_is_closed_leaves_the_server(
    backend: Backend, server: FakeAnthropic
) -> None:
    delta = {"type": "text_delta", "text": "a"}
    server.script.append(
        lambda one: send_events(one, block(0, text(""), itertools.repeat(delta)), end=False)
    )
    pieces = backend.stream(run_of(LONG, 1_000_000))
    assert len(list(itertools.islice(pieces, 3))) == 3

    pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

    assert server.left.wait(PATIENCE_S)
