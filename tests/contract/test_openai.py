"""Answers, counts and options of the ``openai`` backend, on a server that speaks the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendError, InvalidSetting
from ledger.messages import Request, parse_request
from ledger.settings import load_settings
from tests.support import fake_openai
from tests.support.fake_openai import (
    MODEL,
    Answer,
    FakeOpenAI,
    answers_with,
    chunk,
    refuses,
    says,
    usage,
)
from workers import backends
from workers.backends import Backend, Piece, Run

KEY = "sk-test-0123456789"
Start = Callable[..., tuple[FakeOpenAI, Backend]]


@pytest.fixture
def start() -> Iterator[Start]:
    """A server with these answers, and the backend that asks it."""
    with ExitStack() as stack:

        def start(
            *answers: Answer, backend: str = "openai", owner: str = "system", **table: Any
        ) -> tuple[FakeOpenAI, Backend]:
            server = stack.enter_context(fake_openai.serving(*answers, owner=owner, window=100))
            made = make(backend, base_url=server.url, **table)
            stack.callback(made.close)
            made.load()
            return server, made

        yield start


def make(backend: str = "openai", *, model: str | None = MODEL, **table: Any) -> Backend:
    spec = {"name": "inst0", "backend": backend, "model": model, **table}
    settings = load_settings(env={"LLM_API_KEY": KEY}, instances=[spec])
    return backends.create(settings.instances[0], settings)


def ask(prompt: str | None = "Say hi", **options: Any) -> Request:
    return parse_request(prompt=prompt, agent_id="a", **options)


def answer_of(backend: Backend, request: Request | None = None, most: int = 50) -> list[Piece]:
    return list(backend.stream(Run(request or ask(), most)))


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
    pieces = answer_of(backend)
    # Then
    assert "".join(piece.text for piece in pieces) == "Hello there"
    assert sum(piece.tokens for piece in pieces) == 6
    assert [piece.prompt_tokens for piece in pieces if piece.prompt_tokens] == [17]
    assert sum(piece.cached_tokens for piece in pieces) == 16
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["stop"]


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

    pieces = answer_of(backend, most=5)

    assert [piece.tokens for piece in pieces] == [3, 1, 1]
    assert pieces[0].prompt_tokens == 9
    assert pieces[-1].finish_reason == "length"
    assert server.bodies[0]["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }


def test_an_answer_never_counts_for_more_than_it_may_have(start: Start) -> None:
    _, backend = start(answers_with("a", "b", "c", finish="length"))

    pieces = answer_of(backend, most=2)

    assert sum(piece.tokens for piece in pieces) == 2
    assert "".join(piece.text for piece in pieces) == "abc"
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


def test_tool_calls_end_as_such_also_where_the_server_says_stop(start: Start) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f"}}
    _, backend = start(says(chunk({"tool_calls": [call]}), chunk({}, finish="stop")))

    assert answer_of(backend)[-1].finish_reason == "tool_calls"


def test_a_token_that_is_ruled_out_has_the_least_logprob(start: Start) -> None:
    ruled_out = {"token": "b", "logprob": float("-inf")}
    told = {"content": [{"token": "a", "logprob": float("-inf"), "top_logprobs": [ruled_out]}]}
    _, backend = start(says(chunk({"content": "a"}, logprobs=told), chunk({}, finish="stop")))

    first, *_ = answer_of(backend, ask(logprobs=1))

    [entry] = first.logprobs
    assert (entry.logprob, entry.top[0].logprob) == (-9999.0, -9999.0)


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
    pieces = answer_of(backend, ask(tools=tools, tool_choice="required"))
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

    pieces = answer_of(backend)

    assert "".join(piece.reasoning for piece in pieces) == "Let me see."
    assert "".join(piece.text for piece in pieces) == "Four."
    assert sum(piece.tokens for piece in pieces) == 7


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

    [first, *_] = answer_of(backend, ask(logprobs=2))

    [token] = first.logprobs
    assert (token.text, token.logprob) == ("Hi", -0.25)
    assert [(one.text, one.logprob) for one in token.top] == [("Hi", -0.25), ("Yo", -2.5)]
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 2)


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
    answer_of(
        backend,
        ask(
            None,
            messages=messages,
            response_format=schema,
            temperature=0.5,
            top_p=0.8,
            top_k=3,
            stop=["END"],
            seed=7,
            logit_bias={"5": 1.0},
        ),
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

    answer_of(backend, ask(None, messages=messages))

    assert server.bodies[0]["messages"][0]["tool_calls"] == [{**call, **sent}]


def test_only_vllm_is_sent_what_only_vllm_takes(start: Start) -> None:
    own = ("request_id", "cache_salt", "priority")
    vllm, backend = start(answers_with("a"), owner="vllm", priority=True)
    other, plain = start(answers_with("a"), priority=True)

    for tenant in ("acme", "acme", "globex"):
        list(backend.stream(Run(ask(tenant=tenant, priority="LOW"), 5, job_id="j1", attempt=2)))
    answer_of(plain, ask(priority="LOW"))

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

    answer_of(backend, most=7)

    assert server.bodies[0]["max_completion_tokens"] == 7
    assert not {"temperature", "top_p", "max_tokens"} & server.bodies[0].keys()
    assert "top_k" not in backend.abilities.options


def test_further_fields_are_sent_with_every_request(start: Start) -> None:
    server, backend = start(answers_with("a"), extra_body={"min_p": 0.1, "thinking": {"on": 1}})

    answer_of(backend)

    assert (server.bodies[0]["min_p"], server.bodies[0]["thinking"]) == (0.1, {"on": 1})


def test_prompts_are_completed_where_a_server_has_no_chat_template(start: Start) -> None:
    # Given
    def text(word: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": word, "logprobs": None, "finish_reason": finish}
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "choices": [choice]}

    last = {**text(""), "choices": [], "usage": usage(4, 3)}
    server, backend = start(says(text(" in"), text(" a", "stop"), last), api="completions")
    # When
    pieces = list(backend.stream(Run(ask("Once upon"), 9, continue_from=" a time")))
    # Then
    assert server.bodies[0]["prompt"] == "Once upon a time"
    assert "".join(piece.text for piece in pieces) == " in a"
    assert sum(piece.tokens for piece in pieces) == 3
    assert not backend.abilities.chat
    assert backend.abilities.continues


def test_vllms_tokenizer_counts_prompts_that_may_not_fit_its_window(start: Start) -> None:
    _, backend = start(answers_with("a"), owner="vllm")

    assert backend.abilities.window == 100
    assert backend.count_tokens(ask("one two three")) == 3  # with an answer of 512


def test_a_prompt_that_surely_fits_costs_no_round_trip(start: Start) -> None:
    server, backend = start(answers_with("a"), owner="vllm", window=4096)

    few = backend.count_tokens(ask("one two three"))
    with_a_session = backend.count_tokens(ask("one two three", session_id="s", history=True))

    assert few > 3
    assert with_a_session == 3
    assert server.tokenized == 1


def test_a_prompt_is_estimated_where_nobody_counts_it(start: Start) -> None:
    _, backend = start(answers_with("a"))

    assert 0 < backend.count_tokens(ask("one two three")) < 100
    assert backend.abilities.window == 0


def test_a_model_that_is_not_named_is_the_servers_own(start: Start) -> None:
    server, backend = start(answers_with("a"), model=None)

    answer_of(backend)

    assert server.bodies[0]["model"] == MODEL


def test_the_sdk_does_not_try_again_by_itself(start: Start) -> None:
    server, backend = start(refuses(500, "The server had an error.", type="server_error"))

    with pytest.raises(BackendError, match="The server had an error"):
        answer_of(backend)

    assert len(server.bodies) == 1


def test_loading_waits_for_a_server_that_still_starts() -> None:
    # Given
    with fake_openai.serving(answers_with("a")) as server:
        server.well = False
        backend = make(base_url=server.url)
        said: list[str] = []

        def hear(what: str) -> None:
            said.append(what)
            server.well = True

        # When
        backend.load(hear)
        # Then
        assert len(said) == 1
        assert "Loading model" in said[0]
        assert backend.health() == ""
        backend.close()


def test_loading_ends_when_nobody_answers_for_too_long() -> None:
    settings = load_settings(
        env={"APEX_LOAD_TIMEOUT_S": "0.01"},
        instances=[{"name": "inst0", "backend": "openai", "base_url": "http://127.0.0.1:9/v1"}],
    )
    backend = backends.create(settings.instances[0], settings)

    with pytest.raises(BackendError, match=r"The connection to http://127\.0\.0\.1:9/v1 was lost"):
        backend.load()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"colour": "red"}, "has no option 'colour'; it has base_url, "),
        ({"base_url": "localhost:8000"}, "takes a URL such as http://localhost:8000/v1"),
        ({"base_url": "http://a/v1", "endpoints": ["http://b/v1"]}, "and not both"),
        ({"endpoints": ["http://b/v1", "http://b/v1/"]}, "names one of them twice"),
        ({"extra_body": {"messages": []}}, "messages is set by apexq"),
        ({"model": None}, "OpenAI has many models; set model"),
    ],
)
def test_options_that_cannot_be_used_are_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        make(**table)

    assert said in str(refused.value)


def test_openais_own_api_is_not_asked_without_a_key() -> None:
    settings = load_settings(
        env={}, instances=[{"name": "inst0", "backend": "openai", "model": "m"}]
    )

    with pytest.raises(InvalidSetting, match="needs a key; set LLM_API_KEY"):
        backends.create(settings.instances[0], settings)


def test_lm_studio_is_asked_on_this_machine_and_without_the_common_key() -> None:
    with fake_openai.serving(answers_with("a")) as server:
        backend = make("lmstudio", base_url=server.url)
        backend.load()

        answer_of(backend)

        assert KEY not in server.headers[0]["authorization"]
        backend.close()
    assert make("lmstudio").default_urls == ("http://localhost:1234/v1",)  # type: ignore[attr-defined]


def test_vllm_has_to_be_told_where_its_servers_are() -> None:
    with pytest.raises(InvalidSetting, match="needs its servers; set endpoints"):
        make("vllm")
