"""Errors of OpenAI-compatible servers are told apart, each with the provider's own words."""

from __future__ import annotations

import logging
from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import (
    BackendAuth,
    BackendError,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
    to_record,
)
from ledger.messages import parse_request
from ledger.settings import load_settings
from tests.support import fake_openai
from tests.support.fake_openai import (
    MODEL,
    Answer,
    answers_with,
    breaks_off_after,
    chunk,
    refuses,
    says,
    usage,
)
from tests.support.loaded import loaded, pieces_of
from workers import backends
from workers.backends import Run

KEY = "sk-test-0123456789"

OPENAI_TOO_LONG = (
    "This model's maximum context length is 4097 tokens. However, your messages resulted in "
    "5012 tokens. Please reduce the length of the messages."
)

TOO_LARGE = (
    "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, "
    "Requested 45000. The input or output tokens must be reduced in order to run successfully."
)


def error_of(answer: Answer, *, read: int = 0) -> BackendError:
    """What a request ends with, after ``read`` pieces, where the server answers so."""
    with fake_openai.serving(answer) as server:
        table = {"name": "inst0", "backend": "openai", "base_url": server.url, "model": MODEL}
        settings = load_settings(env={"LLM_API_KEY": KEY}, instances=[table])
        backend = backends.create(settings.instances[0], settings)
        backend.load()
        pieces = backend.stream(Run(parse_request(prompt="hi", agent_id="a"), 50))
        try:
            for _ in range(read):
                next(pieces)
            with pytest.raises(BackendError) as raised:
                list(pieces)
        finally:
            backend.close()
    return raised.value


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
        (
            refuses(429, "You exceeded your current quota.", code="insufficient_quota"),
            BackendAuth,
            "exceeded your current quota",
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
        (
            refuses(400, "Invalid value for 'temperature'.", type="invalid_request_error"),
            BackendError,
            "Invalid value for 'temperature'",
        ),
    ],
)
def test_a_final_error_says_what_it_is(answer: Answer, kind: type[BackendError], said: str) -> None:
    error = error_of(answer)

    assert type(error) is kind
    assert said in error.said
    assert said in error.message
    assert error.retriable is False
    assert error.backend == "openai"


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
def test_a_server_that_fails_may_be_tried_again(status: int) -> None:
    error = error_of(refuses(status, "The server is currently overloaded."))

    assert type(error) is BackendError
    assert error.retriable is True
    assert error.said == "The server is currently overloaded"


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
    headers: dict[str, str], message: str, wait_s: float
) -> None:
    error = error_of(refuses(429, message, code="rate_limit_exceeded", headers=headers))

    assert type(error) is RateLimited
    assert error.retry_after_s == wait_s
    assert error.said == message.rstrip(".")


def test_a_rate_limit_may_name_a_date() -> None:
    # No server's clock is ours: some seconds later than any test.
    error = error_of(
        refuses(429, "Later.", headers={"retry-after": "Wed, 01 Jan 2098 00:00:00 GMT"})
    )

    assert type(error) is RateLimited
    assert error.retry_after_s == 3600  # longer is not believed


@pytest.mark.parametrize(
    ("body", "kind", "retriable"),
    [
        ({"message": "Overloaded", "type": "server_error", "code": None}, BackendError, True),
        ({"message": "CUDA error", "type": "InternalServerError", "code": 500}, BackendError, True),
        ({"message": "Slow", "type": "tokens", "code": "rate_limit_exceeded"}, RateLimited, True),
        ({"message": "No", "type": "BadRequestError", "code": 400}, BackendError, False),
    ],
)
def test_an_error_object_in_the_midst_of_a_stream_counts(
    body: dict[str, Any], kind: type[BackendError], retriable: bool
) -> None:
    error = error_of(says(chunk({"content": "Hel"}), {"error": body}), read=1)

    assert type(error) is kind
    assert error.retriable is retriable
    assert error.said == body["message"]


@pytest.mark.parametrize(
    "answer",
    [
        breaks_off_after("Hel"),
        says(chunk({"content": "Hel"}), done=False),
        says(chunk({"content": "Hel"})),
        says(chunk({"content": "Hel"}), "not JSON"),
        says(chunk({"content": "Hel"}), ["no object"]),
        says(chunk({"content": "Hel"}), {"choices": ["no object"]}),
        says(chunk({"content": "Hel"}), chunk({}, finish="abort")),
    ],
    ids=[
        "cut",
        "ended",
        "done without a finish",
        "damaged",
        "a list",
        "a text",
        "given up by the server",
    ],
)
def test_an_answer_that_breaks_off_may_be_tried_again(answer: Answer) -> None:
    error = error_of(answer, read=1)

    assert type(error) is BackendError
    assert error.retriable is True


def test_a_connection_lost_behind_the_answer_does_not_matter() -> None:
    with fake_openai.serving(
        says(chunk({"content": "Hi"}), chunk({}, finish="stop"), done=False)
    ) as server:
        table = {"name": "inst0", "backend": "openai", "base_url": server.url, "model": MODEL}
        settings = load_settings(env={}, instances=[table])
        backend = backends.create(settings.instances[0], settings)
        backend.load()

        pieces = list(backend.stream(Run(parse_request(prompt="hi", agent_id="a"), 50)))

        assert "".join(piece.text for piece in pieces) == "Hi"
        assert pieces[-1].finish_reason == "stop"
        backend.close()


def test_a_refusal_of_the_model_is_no_answer() -> None:
    error = error_of(
        says(
            chunk({"role": "assistant", "content": "", "refusal": None}),
            chunk({"refusal": "I cannot "}),
            chunk({"refusal": "help with that."}),
            chunk({}, finish="stop"),
        )
    )

    assert type(error) is ContentRefused
    assert error.said == "I cannot help with that"


def test_a_content_filter_in_the_midst_of_an_answer_ends_it_as_refused() -> None:
    error = error_of(says(chunk({"content": "How"}), chunk({}, finish="content_filter")), read=1)

    assert type(error) is ContentRefused


def test_an_answer_that_a_filter_ends_is_charged_by_the_servers_counts() -> None:
    stopped = says(
        chunk({"content": "How"}), chunk({}, finish="content_filter"), chunk(usage=usage(31, 12))
    )
    with fake_openai.serving(stopped) as server:
        table = {"backend": "openai", "base_url": server.url, "model": MODEL}
        with loaded(table) as backend:
            answer = backend.stream(Run(parse_request(prompt="hi", agent_id="a"), 50))
            pieces = [next(answer), next(answer)]
            with pytest.raises(ContentRefused):
                next(answer)

    assert sum(piece.tokens for piece in pieces) == 12
    assert [piece.prompt_tokens for piece in pieces if piece.prompt_tokens] == [31]


def test_the_key_is_in_no_message() -> None:
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


def test_answers_of_no_known_form_are_errors_too() -> None:
    error = error_of(lambda handler: handler.json(502, "<html>Bad Gateway</html>"))

    assert type(error) is BackendError
    assert "Bad Gateway" in error.said


def test_what_is_well_is_no_error() -> None:
    with pytest.raises(pytest.fail.Exception):
        error_of(answers_with("a"))
