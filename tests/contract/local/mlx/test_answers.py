"""Tokens, characters and templates as mlx-lm has them."""

from __future__ import annotations

import pytest

pytest.importorskip("mlx_lm")

from ledger.messages import ChatMessage
from tests.support.loaded import text_of
from tests.support.local_models import answer, asked
from tests.support.tiny_safetensors import EOS, token_of, tokens_of
from workers.backends import Run
from workers.backends.mlx.backend import MlxBackend


def test_a_bias_decides_what_is_said(backend: MlxBackend) -> None:
    the = token_of("the")

    pieces = answer(backend, asked(logit_bias={str(the): 1000.0}, max_tokens=5))

    assert text_of(pieces) == "the" * 5
    assert answer(backend, asked(logit_bias={str(EOS): 1000.0}))[-1].finish_reason == "stop"


def test_a_character_of_several_tokens_comes_in_one_piece(backend: MlxBackend) -> None:
    run = Run(asked("日本", max_tokens=400), 400)

    for piece in backend.stream(run):
        assert piece.text.encode().decode() == piece.text
        assert piece.tokens >= 1


def test_a_prompt_is_what_the_models_template_makes_of_it(backend: MlxBackend) -> None:
    turns = (ChatMessage(role="system", content="be brief"), ChatMessage(role="user", content="hi"))

    counted = backend.count_tokens(asked(messages=turns))

    # <s> <|system|> be brief <|end|> <|user|> hi <|end|> <|assistant|>
    assert counted == 6 + len(tokens_of("be brief")) + len(tokens_of("hi"))
