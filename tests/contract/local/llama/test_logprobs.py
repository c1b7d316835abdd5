"""Probabilities of all tokens, and of those that are not shown."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("llama_cpp")

from tests.support import tiny_gguf
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import answer, asked, grammar
from workers.backends.llama.backend import LlamaCppBackend


def test_all_probabilities_of_a_place_add_up_to_one(backend: LlamaCppBackend) -> None:
    chosen = [
        answer(backend, asked(logprobs=0, logit_bias={str(token): 1000.0}, max_tokens=1))
        for token in range(tiny_gguf.FIRST_BYTE, tiny_gguf.N_VOCAB)
    ]
    total = sum(math.exp(one.logprobs[0].logprob) for [one] in chosen)
    left = answer(backend, asked(logprobs=20, max_tokens=1))[0].logprobs[0].top
    outside = sum(math.exp(one.logprob) for one in left if one.id < tiny_gguf.FIRST_BYTE)

    assert total + outside == pytest.approx(1, abs=0.01)


def test_tokens_of_a_cut_character_and_of_a_stop_have_theirs_too(backend: LlamaCppBackend) -> None:
    cut = answer(
        backend, asked(response_format=grammar('root ::= "x" "🙂"'), max_tokens=3, logprobs=0)
    )
    assert [one.text for piece in cut for one in piece.logprobs] == ["x", "\ufffd", "\ufffd"]
    whole = text_of(answer(backend, asked()))
    stopped = answer(backend, asked(stop=(whole[20:24],), logprobs=0))
    assert sum(len(piece.logprobs) for piece in stopped) == tokens_of(stopped)
