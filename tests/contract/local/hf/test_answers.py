"""The library's own answers, its own draws, and weights of fewer bits."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.contract.local.conftest import Start
from tests.support import tiny_safetensors
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import answer, asked, cuts
from workers.backends.hf.backend import HfBackend


def test_a_greedy_answer_is_the_librarys_own(backend: HfBackend, model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    own = AutoModelForCausalLM.from_pretrained(model)
    messages = [{"role": "user", "content": "tell me a story"}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )

    made = own.generate(**prompt, max_new_tokens=60, do_sample=False)
    request = asked("tell me a story")

    read = prompt["input_ids"].shape[1]
    assert backend.count_tokens(request) == read
    text = text_of(answer(backend, request))
    assert text == tokenizer.decode(made[0, read:], skip_special_tokens=True)


def test_draws_come_as_often_as_they_are_likely(backend: HfBackend) -> None:
    # Given the chances of the first token, cut to the three likeliest and warmed up
    [likely] = answer(backend, asked(logprobs=3, max_tokens=1))[0].logprobs
    weights = [math.exp(one.logprob / 2) for one in likely.top]
    # When it is drawn many times
    drawn = [
        answer(
            backend,
            asked(temperature=2.0, top_p=1, top_k=3, seed=seed, logprobs=0, max_tokens=1),
        )[0].logprobs[0]
        for seed in range(400)
    ]
    # Then
    for one, weight in zip(likely.top, weights, strict=True):
        share = sum(token.id == one.id for token in drawn) / len(drawn)
        assert share == pytest.approx(weight / sum(weights), abs=0.08)


def test_a_character_of_several_tokens_comes_in_one_piece(backend: HfBackend, start: Start) -> None:
    # Given a model that is led to say the bytes of "é" and "日" in turn
    bias = {str(token): 40.0 for token in tiny_safetensors.tokens_of("é日")}
    request = asked(logit_bias=bias, temperature=1.0, seed=3, max_tokens=60)
    # When
    pieces = answer(backend, request)
    # Then
    assert any(len(piece.text.encode()) >= 2 and piece.tokens >= 2 for piece in pieces)
    assert tokens_of(pieces) == 60
    another = start()
    for before, made in cuts(pieces, 15):
        assert before + text_of(answer(another, request, before, made)) == text_of(pieces)


def test_weights_in_nf4_answer_otherwise_and_always_the_same(start: Start) -> None:
    pytest.importorskip("bitsandbytes")
    plain, packed = start(quantization="none"), start(quantization="nf4")

    assert text_of(answer(plain, asked())) != text_of(answer(packed, asked()))
    assert text_of(answer(packed, asked())) == text_of(answer(start(quantization="nf4"), asked()))


def test_eight_bits_may_be_asked_for(start: Start) -> None:
    pytest.importorskip("bitsandbytes")

    assert tokens_of(answer(start(quantization="int8"), asked())) == 60
