"""Each token comes with its probability."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from tests.contract.local.conftest import Start
from tests.support.local_models import answer, asked


def test_each_token_comes_with_its_probability_by_the_model_alone(
    backend: Any, start: Start
) -> None:
    request = asked("hello", logprobs=3, stop=("never seen",), max_tokens=40)
    pieces = answer(backend, request)
    found = [one for piece in pieces for one in piece.logprobs]

    assert [len(piece.logprobs) for piece in pieces] == [piece.tokens for piece in pieces]
    assert all(one.top[0].model_copy(update={"top": one.top}) == one for one in found)  # greedy
    assert all(len(one.top) == 3 for one in found)
    assert all(0 >= a.logprob >= b.logprob for one in found for a, b in pairwise(one.top))
    assert sum(math.exp(one.logprob) for one in found[0].top) <= 1.0
    # A token that is chosen in spite of the model keeps the probability that the model gave it.
    other = found[0].top[2]
    forced = answer(start(), asked("hello", logprobs=0, logit_bias={str(other.id): 100.0}))
    assert forced[0].logprobs == (other,)


def test_without_being_asked_there_are_none(backend: Any) -> None:
    assert all(piece.logprobs == () for piece in answer(backend, asked()))
