"""Errors are told apart, each in the words of the server."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ollama")

from ledger.errors import (
    ApexError,
    BackendAuth,
    BackendError,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
)
from tests.support.apis import OLLAMA
from tests.support.fake_ollama import MODEL, FakeOllama, send_lines
from tests.support.loaded import loaded, pieces_of, run_of, text_of
from tests.support.word_model import GREETING, LONG, SHORT
from workers.backends import Backend


@pytest.mark.parametrize(
    ("status", "words", "headers", "kind", "facts"),
    [
        (400, "the input length exceeds the context length", {}, ContextTooLong, {}),
        (400, "invalid duration", {}, BackendError, {"retriable": False}),
        (401, "unauthorized", {}, BackendAuth, {"retriable": False}),
        (404, "model 'tiny:1b' not found", {}, ModelNotFound, {"model": MODEL}),
        (429, "too many requests", {"retry-after": "7"}, RateLimited, {"retry_after_s": 7.0}),
        (503, "server busy, please try again", {}, RateLimited, {"retry_after_s": 5.0}),
        (500, "llama runner process has terminated", {}, BackendError, {"retriable": True}),
        (502, "<html>Bad Gateway</html>", {}, BackendError, {"retriable": True}),
    ],
)
def test_errors_are_told_apart_in_the_servers_words(
    backend: Backend,
    server: FakeOllama,
    status: int,
    words: str,
    headers: dict[str, str],
    kind: type[ApexError],
    facts: dict[str, Any],
) -> None:
    body = words if words.startswith("<") else {"error": words}
    server.script.append(lambda one: one.reply(status, body, headers))

    with pytest.raises(BackendError) as raised:
        pieces_of(backend, SHORT)

    assert type(raised.value) is kind
    assert words in raised.value.message
    assert raised.value.facts.items() >= {"backend": "ollama", "said": words, **facts}.items()
    assert text_of(pieces_of(backend, SHORT)) == GREETING


def test_an_error_without_words_is_told_by_its_status(backend: Backend, server: FakeOllama) -> None:
    server.script.append(lambda one: one.reply(502, ""))

    with pytest.raises(BackendError, match=r"failed \(status 502\)"):
        pieces_of(backend, SHORT)


@pytest.mark.parametrize(
    ("line", "kind", "retriable"),
    [
        ({"error": "an error was encountered while running the model"}, BackendError, True),
        (
            {"error": "request (5000 tokens) exceeds the available context size", "status": 400},
            ContextTooLong,
            False,
        ),
    ],
)
def test_an_error_in_the_midst_of_an_answer_ends_it(
    backend: Backend, server: FakeOllama, line: dict[str, Any], kind: type, retriable: bool
) -> None:
    word = {"message": {"role": "assistant", "content": "Once"}, "done": False}
    server.script.append(lambda one: send_lines(one, [word, line]))
    pieces = backend.stream(run_of(LONG))

    assert next(pieces).text == "Once"
    with pytest.raises(kind) as raised:
        next(pieces)

    assert raised.value.said == line["error"]
    assert raised.value.retriable is retriable


def test_a_page_of_a_proxy_in_the_servers_place_is_no_health(server: FakeOllama) -> None:
    with loaded(OLLAMA.table(server)) as backend:
        server.broken = True

        assert "failed (<html>Bad Gateway</html>)" in backend.health()
