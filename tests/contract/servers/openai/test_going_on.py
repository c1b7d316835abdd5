"""An answer that one server breaks off goes on at another."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendError
from tests.contract.servers.openai.conftest import Over, Serve
from tests.support.fake_openai import Answer, InTurn, answers_with, breaks_off_after, chunk, says
from tests.support.loaded import pieces_of, run_of, text_of, tokens_of

WORDS = {100: "a", 101: " b", 102: " c", 103: " d", 104: "\N{OCTOPUS}"}


def tells(*tokens: int, text: str | None = None, done: bool = False) -> Answer:
    """An answer of which vLLM tells the tokens; with ``text`` they come in one chunk."""
    begin = {**chunk({"role": "assistant", "content": ""}), "prompt_token_ids": [1, 2, 3]}
    parts = [([one], WORDS[one]) for one in tokens] if text is None else [(list(tokens), text)]
    events = [chunk({"content": word}, token_ids=ids) for ids, word in parts]
    return says(begin, *events, *([chunk({}, finish="stop")] if done else []), done=done)


def test_an_answer_that_breaks_off_goes_on_at_another_endpoint(serve: Serve, over: Over) -> None:
    # Given
    turns = InTurn(
        breaks_off_after("one", " two"), answers_with(" three", " four", prompt=99, cached=98)
    )
    backend = over(*(serve(turns, owner="vllm").url for _ in range(2)))
    # When
    pieces = pieces_of(backend, "Say hi", 9)
    # Then
    assert text_of(pieces) == "one two three four"
    assert tokens_of(pieces) == 4
    assert pieces[-1].finish_reason == "stop"
    broken, other = turns.servers
    assert broken is not other
    assert broken.bodies[0]["messages"] == [{"role": "user", "content": "Say hi"}]
    [sent] = other.bodies
    assert sent["prompt"] == [0, 1, 0, 1]  # what vLLM's tokenizer says of both
    assert sent["max_tokens"] == 7
    assert "messages" not in sent
    # What the second one counts as its prompt has a part of the answer in it
    assert not any(piece.prompt_tokens or piece.cached_tokens for piece in pieces)


def test_it_goes_on_from_exactly_the_tokens_that_were_made(serve: Serve, over: Over) -> None:
    # Given three servers of which one after another breaks off, one of them having said nothing
    turns = InTurn(tells(100, 101), breaks_off_after(), tells(102), tells(103, done=True))
    servers = [serve(turns, owner="vllm") for _ in range(3)]
    for server in servers:
        server.words = WORDS
    backend = over(*(server.url for server in servers))
    # When
    pieces = pieces_of(backend, "Say hi")
    # Then
    assert text_of(pieces) == "a b c d"
    sent = [body for server in servers for body in server.bodies]
    prompts = sorted((body["prompt"] for body in sent if "prompt" in body), key=len)
    assert prompts == [[1, 2, 3, 100, 101], [1, 2, 3, 100, 101], [1, 2, 3, 100, 101, 102]]
    assert all(body["return_token_ids"] for body in sent)


def test_it_goes_on_from_the_text_where_that_is_less_than_its_tokens(
    serve: Serve, over: Over
) -> None:
    # Given a server that has held back the text of its last token
    turns = InTurn(tells(100, 101, 104, text="a b"), answers_with(" c"))
    servers = [serve(turns, owner="vllm") for _ in range(2)]
    for server in servers:
        server.words = WORDS
    # When
    pieces = pieces_of(over(*(server.url for server in servers)), "Say hi")
    # Then
    assert text_of(pieces) == "a b c"
    assert turns.servers[1].bodies[0]["prompt"] == [0, 1, 0, 1]  # as its tokenizer says


def test_where_tools_may_be_called_an_answer_goes_on_as_a_message(serve: Serve, over: Over) -> None:
    turns = InTurn(breaks_off_after("one", " two"), answers_with(" three"))
    backend = over(*(serve(turns, owner="vllm").url for _ in range(2)))

    pieces = pieces_of(backend, "Say hi", tools=[{"type": "function", "function": {"name": "f"}}])

    assert text_of(pieces) == "one two three"
    [sent] = turns.servers[1].bodies
    assert sent["messages"][-1] == {"role": "assistant", "content": "one two"}
    assert sent["continue_final_message"] is True
    assert sent["add_generation_prompt"] is False


@pytest.mark.parametrize(
    ("begins", "options"),
    [
        (says(chunk({"reasoning": "Hm."}), done=False), {}),
        (
            says(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}), done=False),
            {},
        ),
        (breaks_off_after("{"), {"response_format": {"type": "json_object"}}),
    ],
    ids=["reasoning", "tool call", "grammar"],
)
def test_what_cannot_go_on_from_its_text_is_left_to_another_attempt(
    serve: Serve, over: Over, begins: Answer, options: dict[str, Any]
) -> None:
    # Given
    turns = InTurn(begins, answers_with("anew"))
    backend = over(*(serve(turns, owner="vllm").url for _ in range(2)))
    # When
    pieces = backend.stream(run_of("Say hi", **options))
    with pytest.raises(BackendError) as raised:
        list(pieces)
    # Then the attempt after that goes to the other one
    assert raised.value.retriable
    assert text_of(pieces_of(backend, "Say hi")) == "anew"
    assert turns.servers[0] is not turns.servers[1]


def test_a_model_may_be_said_not_to_go_on_from_its_text(serve: Serve, over: Over) -> None:
    turns = InTurn(breaks_off_after("one"), answers_with("anew"))
    urls = [serve(turns, owner="vllm").url for _ in range(2)]
    backend = over(*urls, continues=False)

    assert backend.abilities.continues is False
    with pytest.raises(BackendError):
        pieces_of(backend, "Say hi")


def test_an_answer_is_given_up_when_every_endpoint_breaks_it_off(serve: Serve, over: Over) -> None:
    # Given servers that both say one word and break off, until the second word is there
    turns = InTurn(
        breaks_off_after("one"),
        breaks_off_after(" two"),
        breaks_off_after(),
        breaks_off_after(),
    )
    backend = over(*(serve(turns, owner="vllm").url for _ in range(2)))
    # When
    pieces = backend.stream(run_of("Say hi"))
    texts = [next(pieces).text, next(pieces).text]
    # Then
    assert texts == ["one", " two"]
    with pytest.raises(BackendError, match="was lost"):
        next(pieces)
