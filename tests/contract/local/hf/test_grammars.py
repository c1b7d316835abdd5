"""Grammars by llguidance."""

from __future__ import annotations

from contextlib import suppress

import pytest

pytest.importorskip("torch")
pytest.importorskip("llguidance")

from ledger.errors import BackendError, InvalidRequest
from tests.support.local_models import answer, asked, grammar
from workers.backends.hf.backend import HfBackend


def test_a_probability_is_the_models_also_within_a_grammar(backend: HfBackend) -> None:
    free = answer(backend, asked(logprobs=20, max_tokens=1))[0].logprobs[0]
    other = next(one for one in free.top if one.text.isalpha() and one.id != free.id)

    held = asked(response_format=grammar(f'root ::= "{other.text}"'), logprobs=0, max_tokens=1)

    assert answer(backend, held)[0].logprobs[0] == other


def test_a_grammar_that_is_hard_to_follow_does_not_hang(backend: HfBackend) -> None:
    schema = {"type": "string", "pattern": "^(a+)+(b|a+)*[^c]{0,2000}$"}
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}

    with suppress(InvalidRequest, BackendError):
        answer(backend, asked(response_format=wanted))
