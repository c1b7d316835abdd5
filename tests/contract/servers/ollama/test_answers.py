"""Text, thoughts, calls of tools, probabilities and counts of answers."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("ollama")

from ledger.tool_calls import put_together
from tests.contract.servers.ollama.conftest import WEATHER
from tests.support.fake_ollama import FakeOllama, send_lines
from tests.support.fake_server import Exchange
from tests.support.loaded import pieces_of, text_of
from tests.support.word_model import GREETING, LONG, SHORT
from workers.backends import Backend


def test_the_servers_counts_are_the_answers(backend: Backend, server: FakeOllama) -> None:
    server.cached = 2

    pieces = pieces_of(backend, LONG, 7)
    by_itself = pieces_of(backend, SHORT)

    assert sum(piece.tokens for piece in pieces) == 7
    assert (pieces[-1].prompt_tokens, pieces[-1].cached_tokens) == (len(LONG.split()) + 3, 2)
    assert pieces[-1].finish_reason == "length"
    # The token that ended it is counted as the server counts it.
    assert [piece.tokens for piece in by_itself] == [1, 1, 1, 1]


def test_thoughts_are_told_apart_from_the_answer(backend: Backend) -> None:
    pieces = pieces_of(backend, f"think, then say {SHORT}")

    assert backend.abilities.reasoning
    assert "".join(piece.reasoning for piece in pieces) == "I see."
    assert text_of(pieces) == GREETING


def test_thoughts_without_probabilities_are_told_too(backend: Backend) -> None:
    pieces = pieces_of(backend, f"think, then say {SHORT}", logprobs=0)

    assert "".join(piece.reasoning for piece in pieces) == "I see."
    assert all(len(piece.logprobs) == piece.tokens for piece in pieces)


def test_calls_of_tools_come_in_openais_form(backend: Backend, server: FakeOllama) -> None:
    pieces = pieces_of(backend, "How is the weather?", tools=(WEATHER,))

    [call] = put_together(delta for piece in pieces for delta in piece.tool_calls)
    assert call["function"] == {
        "name": "weather",
        "arguments": '{"city": "Zürich", "days": [1, 2]}',
    }
    assert call["id"].startswith("call_")
    assert pieces[-1].finish_reason == "tool_calls"
    assert sum(piece.tokens for piece in pieces) == 12
    assert server.of("/api/chat")[0]["tools"] == [WEATHER]  # with what is nested in it


def test_a_text_has_every_character_that_was_sent(backend: Backend, server: FakeOllama) -> None:
    text = "one\x85two\u2028three\u2029four\x1efive"
    line = {"message": {"role": "assistant", "content": text}, "done": False}
    server.script.append(lambda one: send_lines(one, [line, {"done": True, "eval_count": 9}]))

    assert text_of(pieces_of(backend, SHORT)) == text


def test_probabilities_come_with_their_tokens(backend: Backend) -> None:
    pieces = pieces_of(backend, LONG, 4, logprobs=3)

    probable = [one for piece in pieces for one in piece.logprobs]
    assert "".join(one.text for one in probable) == text_of(pieces)
    assert [len(one.top) for one in probable] == [3, 3, 3, 3]


def test_a_character_that_comes_in_halves_is_put_together(
    backend: Backend, server: FakeOllama
) -> None:
    # Given a proxy that cuts between the two units of a character
    def answer(one: Exchange) -> None:
        one.begin("application/x-ndjson")
        for word in ("Hi \ud83d", "\ude00"):
            one.send(json.dumps({"message": {"content": word}, "done": False}).encode() + b"\n")
        one.send(b'{"message": {"content": ""}, "done": true, "done_reason": "stop"}\n')
        one.end()

    server.script.append(answer)
    # When
    pieces = pieces_of(backend, SHORT)
    # Then
    assert text_of(pieces) == "Hi 😀"
