"""Temperature, top_k, top_p and logit_bias."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InvalidRequest
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import Library, answer, asked
from tests.support.sentences import is_one_sentence


def test_the_temperature_of_the_settings_counts_where_the_request_gives_none(backend: Any) -> None:
    warm = asked(temperature=None, seed=5)

    assert text_of(answer(backend, warm)) != text_of(answer(backend, asked(seed=5)))
    assert text_of(answer(backend, warm)) == text_of(
        answer(backend, asked(temperature=0.7, top_p=0.9, seed=5))
    )


@pytest.mark.parametrize(
    "narrow",
    [
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 2.0, "top_k": 1},
        {"temperature": 2.0, "top_p": 1e-6},
        {"temperature": 1e-30, "top_p": 1},
    ],
)
def test_only_the_likeliest_token_is_left_to_a_narrow_choice(
    backend: Any, narrow: dict[str, Any]
) -> None:
    greedy = text_of(answer(backend, asked()))

    assert text_of(answer(backend, asked(**narrow))) == greedy


def test_top_k_may_be_more_than_there_are_tokens(backend: Any) -> None:
    assert tokens_of(answer(backend, asked(temperature=1.0, top_k=10_000))) == 60


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "99999999", "²"])
def test_a_bias_on_what_is_no_token_is_refused(backend: Any, token: str) -> None:
    with pytest.raises(InvalidRequest, match="logit_bias") as caught:
        answer(backend, asked(logit_bias={token: 1}))
    assert is_one_sentence(caught.value)


def test_a_bias_on_a_token_behind_the_last_one_is_refused(backend: Any, library: Library) -> None:
    last = library.tiny.N_VOCAB - 1

    with pytest.raises(InvalidRequest, match="logit_bias"):
        answer(backend, asked(logit_bias={str(last + 1): 1}))
    assert answer(backend, asked(logit_bias={str(last): 1}))


def test_the_largest_bias_is_no_error(backend: Any) -> None:
    request = asked(logit_bias={"300": 1e308, "301": -1e308}, temperature=1, seed=1, logprobs=0)

    assert {one.id for piece in answer(backend, request) for one in piece.logprobs} == {300}
