"""Keys that a provider does not know, and accounts that have nothing left, in each one's form."""

from __future__ import annotations

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendAuth, RateLimited
from tests.contract.servers.openai.conftest import ErrorOf
from tests.support.fake_openai import Answer, refuses

GOOGLES_KEY = {
    "code": 400,
    "message": "API key not valid. Please pass a valid API key.",
    "status": "INVALID_ARGUMENT",
}

XAIS_KEY = {"code": "Client specified an invalid argument", "error": "Incorrect API key provided."}


@pytest.mark.parametrize("body", [[{"error": GOOGLES_KEY}], XAIS_KEY], ids=["Google", "xAI"])
def test_a_wrong_key_may_be_told_as_a_bad_request(error_of: ErrorOf, body: object) -> None:
    error = error_of(lambda one: one.reply(400, body))

    assert type(error) is BackendAuth
    assert error.unpaid is False
    assert "API key" in error.said


@pytest.mark.parametrize(
    ("answer", "todo"),
    [
        (refuses(402, "Insufficient credits."), "see to its billing"),
        (refuses(429, "No quota.", code="insufficient_quota"), "see to its billing"),
        (refuses(401, "Incorrect API key provided."), "check LLM_API_KEY"),
    ],
)
def test_an_account_that_is_empty_is_not_told_as_a_wrong_key(
    error_of: ErrorOf, answer: Answer, todo: str
) -> None:
    assert error_of(answer).message.endswith(f"; {todo}.")


def test_an_account_that_is_short_for_now_is_waited_for(error_of: ErrorOf) -> None:
    error = error_of(refuses(402, "In-flight budget.", headers={"retry-after": "3"}))

    assert type(error) is RateLimited
    assert error.retry_after_s == 3
