"""Text, thoughts, counts and ends of answers."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("anthropic")

from tests.contract.servers.anthropic.conftest import text
from tests.support.fake_anthropic import PATH, STOP, FakeAnthropic, block, ended, send_events
from tests.support.loaded import pieces_of, text_of
from tests.support.word_model import GREETING, LONG, SHORT
from workers.backends import Backend


def test_the_apis_counts_are_the_answers(backend: Backend, server: FakeAnthropic) -> None:
    server.cached = (100, 20)

    pieces = pieces_of(backend, LONG, 7)

    counted = len(json.dumps(server.of(PATH)[0]["messages"]).split())
    assert [piece.prompt_tokens for piece in pieces if piece.prompt_tokens] == [counted + 120]
    assert sum(piece.cached_tokens for piece in pieces) == 100
    assert sum(piece.tokens for piece in pieces) == 7
    assert pieces[-1].finish_reason == "length"


def test_a_server_that_counts_the_prompt_at_the_end_is_believed_then(
    backend: Backend, server: FakeAnthropic
) -> None:
    # Given a compatible server, which does not know it when it begins
    kind, last = ended("end_turn", 3)
    last["usage"] |= {"input_tokens": 41, "cache_read_input_tokens": 7}
    deltas = [{"type": "text_delta", "text": "Hi"}]
    events = [server.start(0), *block(0, text(""), deltas), (kind, last), STOP]
    server.script.append(lambda one: send_events(one, events))
    # When
    pieces = pieces_of(backend, SHORT)
    # Then
    assert [piece.prompt_tokens for piece in pieces] == [None, 48]
    assert sum(piece.cached_tokens for piece in pieces) == 7


def test_a_block_may_begin_with_thoughts(backend: Backend, server: FakeAnthropic) -> None:
    thinking = {"type": "thinking", "thinking": "Let me", "signature": ""}
    deltas = [{"type": "thinking_delta", "thinking": " see."}]
    events = [server.start(5), *block(0, thinking, deltas), ended("end_turn", 4), STOP]
    server.script.append(lambda one: send_events(one, events))

    pieces = pieces_of(backend, SHORT)

    assert "".join(piece.reasoning for piece in pieces) == "Let me see."


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


def test_thoughts_are_told_apart_from_the_answer(backend: Backend) -> None:
    pieces = pieces_of(backend, f"think, then say {SHORT}")

    assert "".join(piece.reasoning for piece in pieces) == "Let me see."
    assert text_of(pieces) == GREETING


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
