"""Errors in the midst of an answer."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendError, ContentRefused, ContextTooLong, RateLimited
from tests.contract.servers.openai.conftest import ErrorOf, Start
from tests.support.fake_openai import Answer, breaks_off_after, chunk, says, usage
from tests.support.loaded import pieces_of, run_of, text_of, tokens_of


@pytest.mark.parametrize(
    ("body", "kind", "retriable"),
    [
        ({"message": "Overloaded", "type": "server_error", "code": None}, BackendError, True),
        ({"message": "CUDA error", "type": "InternalServerError", "code": 500}, BackendError, True),
        ({"message": "Slow", "type": "tokens", "code": "rate_limit_exceeded"}, RateLimited, True),
        ({"message": "No", "type": "BadRequestError", "code": 400}, BackendError, False),
        (  # LM Studio
            {"message": "The model is loaded with context length of only 4096 tokens"},
            ContextTooLong,
            False,
        ),
    ],
)
def test_an_error_object_in_the_midst_of_a_stream_counts(
    error_of: ErrorOf, body: dict[str, Any], kind: type[BackendError], retriable: bool
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
def test_an_answer_that_breaks_off_may_be_tried_again(error_of: ErrorOf, answer: Answer) -> None:
    error = error_of(answer, read=1)

    assert type(error) is BackendError
    assert error.retriable is True


def test_a_connection_lost_behind_the_answer_does_not_matter(start: Start) -> None:
    _, backend = start(says(chunk({"content": "Hi"}), chunk({}, finish="stop"), done=False))

    pieces = pieces_of(backend, "hi")

    assert text_of(pieces) == "Hi"
    assert pieces[-1].finish_reason == "stop"


def test_a_refusal_of_the_model_is_no_answer(error_of: ErrorOf) -> None:
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


def test_a_content_filter_in_the_midst_of_an_answer_ends_it_as_refused(error_of: ErrorOf) -> None:
    error = error_of(says(chunk({"content": "How"}), chunk({}, finish="content_filter")), read=1)

    assert type(error) is ContentRefused


def test_an_answer_that_a_filter_ends_is_charged_by_the_servers_counts(start: Start) -> None:
    stopped = says(
        chunk({"content": "How"}), chunk({}, finish="content_filter"), chunk(usage=usage(31, 12))
    )
    _, backend = start(stopped)
    answer = backend.stream(run_of("hi"))
    pieces = [next(answer), next(answer)]
    with pytest.raises(ContentRefused):
        next(answer)

    assert tokens_of(pieces) == 12
    assert [piece.prompt_tokens for piece in pieces if piece.prompt_tokens] == [31]
