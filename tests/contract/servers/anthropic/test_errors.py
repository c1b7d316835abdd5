"""Errors are told apart, each in the words of the API."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytest.importorskip("anthropic")

from ledger.errors import (
    ApexError,
    BackendAuth,
    BackendError,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
)
from tests.contract.servers.anthropic.conftest import text
from tests.support.apis import ANTHROPIC
from tests.support.fake_anthropic import (
    MODEL,
    PATH,
    FakeAnthropic,
    block,
    failed,
    refuse,
    send_events,
)
from tests.support.loaded import created, pieces_of, run_of, text_of
from tests.support.word_model import GREETING, LONG, SHORT
from workers.backends import Backend

LONG_CONTEXT = "Extra usage is required for long context requests"
LONG_PROMPT = "prompt is too long: 211180 tokens > 200000 maximum"
LONG_ANSWER = "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000"
EMPTY = "Your credit balance is too low to access the Anthropic API"
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
        (402, "billing_error", "Your credit balance is too low", {}, BackendAuth, {"unpaid": True}),
        (400, "invalid_request_error", EMPTY, {}, BackendAuth, {"unpaid": True}),
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
        (
            529,
            "overloaded_error",
            "Overloaded",
            {},
            BackendError,
            {"retriable": True, "retry_after_s": 5.0},
        ),
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
    backend = created(ANTHROPIC.table(server))
    said: list[str] = []

    backend.load(said.append)

    assert text_of(pieces_of(backend, SHORT)) == GREETING
    backend.close()
    assert "what it sent is no model" in said[0]


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
