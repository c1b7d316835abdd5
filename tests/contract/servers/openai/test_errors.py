"""Errors of OpenAI-compatible servers are told apart, each with the provider's own words."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("openai")

from ledger.errors import (
    BackendAuth,
    BackendError,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
    ServerAway,
    to_record,
)
from tests.contract.servers.openai.conftest import KEY, ErrorOf
from tests.support import fake_openai
from tests.support.fake_openai import MODEL, Answer, answers_with, breaks_off_after, refuses
from tests.support.loaded import loaded, pieces_of

OPENAI_TOO_LONG = (
    "This model's maximum context length is 4097 tokens. However, your messages resulted in "
    "5012 tokens. Please reduce the length of the messages."
)


FLAGGED = {
    "code": 403,
    "message": "Your input was flagged.",
    "metadata": {"reasons": ["violence"], "flagged_input": "how to", "provider_name": "OpenAI"},
}

GOOGLES_LIMIT = {
    "code": 429,
    "message": f"You exceeded your current quota.{' Look there.' * 30}\nPlease retry in 36.5s.",
    "status": "RESOURCE_EXHAUSTED",
}

TOO_LARGE = (
    "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, "
    "Requested 45000. The input or output tokens must be reduced in order to run successfully."
)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            refuses(
                400,
                OPENAI_TOO_LONG,
                type="invalid_request_error",
                code="context_length_exceeded",
            ),
            ContextTooLong,
            "resulted in 5012 tokens",
        ),
        (  # vLLM
            refuses(400, OPENAI_TOO_LONG, type="BadRequestError", code=400),
            ContextTooLong,
            "maximum context length is 4097 tokens",
        ),
        (  # llama.cpp
            refuses(
                400,
                "the request exceeds the available context size. try increasing it",
                type="exceed_context_size_error",
                code=400,
            ),
            ContextTooLong,
            "exceeds the available context size",
        ),
        (  # Google
            refuses(400, "The input token count exceeds the maximum number of tokens allowed."),
            ContextTooLong,
            "exceeds the maximum number of tokens",
        ),
        (  # xAI
            refuses(400, "This model's maximum prompt length is 131072 but it contains 140000."),
            ContextTooLong,
            "maximum prompt length is 131072",
        ),
        (
            refuses(401, "Incorrect API key provided: sk-te***89.", code="invalid_api_key"),
            BackendAuth,
            "Incorrect API key provided",
        ),
        (
            refuses(403, "Country, region, or territory not supported", type="request_forbidden"),
            BackendAuth,
            "not supported",
        ),
        (  # DeepSeek
            refuses(
                402, "Insufficient Balance", type="unknown_error", code="invalid_request_error"
            ),
            BackendAuth,
            "Insufficient Balance",
        ),
        (  # a proxy
            refuses(413, "Request Entity Too Large"),
            ContextTooLong,
            "Request Entity Too Large",
        ),
        (
            refuses(429, "You exceeded your current quota.", code="insufficient_quota"),
            BackendAuth,
            "exceeded your current quota",
        ),
        (
            refuses(429, "Your account is not active.", code="billing_not_active"),
            BackendAuth,
            "account is not active",
        ),
        (
            refuses(429, TOO_LARGE, type="tokens", code="rate_limit_exceeded"),
            ContextTooLong,
            "Limit 30000, Requested 45000",
        ),
        (
            refuses(404, "The model `x` does not exist or you do not have access to it."),
            ModelNotFound,
            "The model `x` does not exist",
        ),
        (  # llama_cpp.server
            refuses(400, "The model `x` does not exist", code="model_not_found"),
            ModelNotFound,
            "The model `x` does not exist",
        ),
        (
            refuses(400, "The response was filtered.", code="content_filter"),
            ContentRefused,
            "The response was filtered",
        ),
        (  # OpenRouter
            lambda one: one.reply(403, {"error": FLAGGED}),
            ContentRefused,
            "Your input was flagged",
        ),
        (
            refuses(400, "Invalid value for 'temperature'.", type="invalid_request_error"),
            BackendError,
            "Invalid value for 'temperature'",
        ),
    ],
)
def test_a_final_error_says_what_it_is(
    error_of: ErrorOf, answer: Answer, kind: type[BackendError], said: str
) -> None:
    error = error_of(answer)

    assert type(error) is kind
    assert said in error.said
    assert said in error.message
    assert error.retriable is False
    assert error.backend == "openai"


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
def test_a_server_that_fails_may_be_tried_again(error_of: ErrorOf, status: int) -> None:
    error = error_of(refuses(status, "The server is currently overloaded."))

    assert type(error) is BackendError
    assert error.retriable is True
    assert error.said == "The server is currently overloaded"


@pytest.mark.parametrize(
    ("headers", "wait_s"), [({}, 5), ({"retry-after": "7"}, 7)], ids=["unsaid", "said"]
)
@pytest.mark.parametrize("status", [503, 529])
def test_a_server_with_too_much_to_do_is_not_asked_again_at_once(
    error_of: ErrorOf, status: int, headers: dict[str, str], wait_s: float
) -> None:
    error = error_of(refuses(status, "Overloaded", headers=headers))

    assert type(error) is BackendError
    assert error.retriable is True
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({"retry-after": "7"}, "Slow down.", 7),
        ({"retry-after-ms": "250", "retry-after": "1"}, "Slow down.", 0.25),
        ({}, "Rate limit reached. Please try again in 1.5s. Visit our page.", 1.5),
        ({}, "Rate limit reached. Please try again in 6m0s.", 360),
        ({}, "Rate limit reached. Please try again in 20ms.", 0.02),
        ({}, "Slow down.", 5),
        ({}, "On tokens per min: Limit 30000, Used 29000, Requested 4500.", 5),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(
    error_of: ErrorOf, headers: dict[str, str], message: str, wait_s: float
) -> None:
    error = error_of(refuses(429, message, code="rate_limit_exceeded", headers=headers))

    assert type(error) is RateLimited
    assert error.retry_after_s == wait_s
    assert error.said == message.rstrip(".")


def test_googles_rate_limit_says_at_the_end_of_its_words_how_long_to_wait(
    error_of: ErrorOf,
) -> None:
    error = error_of(lambda one: one.reply(429, [{"error": GOOGLES_LIMIT}]))

    assert type(error) is RateLimited
    assert error.retry_after_s == 36.5
    assert error.said.startswith("You exceeded your current quota")


def test_half_a_character_in_a_servers_words_keeps_no_error_from_being_told(
    error_of: ErrorOf,
) -> None:
    error = error_of(refuses(400, "Bad prompt: 'Hi \ud83d'"))

    assert error.said == "Bad prompt: 'Hi \ufffd'"


def test_a_server_that_still_loads_its_model_costs_no_attempt(error_of: ErrorOf) -> None:
    error = error_of(refuses(503, "Loading model", type="unavailable_error", code=503))

    assert type(error) is ServerAway
    assert error.retriable is True
    assert "is not ready yet (Loading model)" in error.message


def test_a_rate_limit_may_name_a_date(error_of: ErrorOf) -> None:
    # No server's clock is ours: some seconds later than any test.
    error = error_of(
        refuses(429, "Later.", headers={"retry-after": "Wed, 01 Jan 2098 00:00:00 GMT"})
    )

    assert type(error) is RateLimited
    assert error.retry_after_s == 3600  # longer is not believed


def test_the_key_is_in_no_message(error_of: ErrorOf) -> None:
    error = error_of(refuses(401, f"Incorrect API key provided: {KEY}."))

    assert KEY not in str(to_record(error))
    assert "***" in error.message


def test_a_user_and_password_of_an_address_are_in_no_message() -> None:
    with fake_openai.serving(breaks_off_after("a")) as server:
        url = server.url.replace("http://", "http://user:hidden@") + "?key=hidden"
        table = {"backend": "openai", "base_url": url, "model": MODEL}
        with loaded(table) as backend, pytest.raises(BackendError) as raised:
            pieces_of(backend, "hi")

    assert "127.0.0.1" in raised.value.message
    assert "hidden" not in str(to_record(raised.value))


def test_a_user_and_password_of_an_address_are_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.INFO, logger="httpx2")
    with fake_openai.serving(answers_with("a")) as server:
        url = server.url.replace("http://", "http://user:hidden@") + "?key=hidden"
        with loaded({"backend": "openai", "base_url": url, "model": MODEL}) as backend:
            pieces_of(backend, "hi")

    assert "hidden" not in caplog.text


def test_answers_of_no_known_form_are_errors_too(error_of: ErrorOf) -> None:
    error = error_of(lambda one: one.reply(502, "<html>Bad Gateway</html>"))

    assert type(error) is BackendError
    assert "Bad Gateway" in error.said


def test_what_is_well_is_no_error(error_of: ErrorOf) -> None:
    with pytest.raises(pytest.fail.Exception):
        error_of(answers_with("a"))
