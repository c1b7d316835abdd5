"""Prompts are counted where that may matter, by who can."""

from __future__ import annotations

import pytest

pytest.importorskip("openai")

from tests.contract.servers.openai.conftest import Start
from tests.support.fake_openai import answers_with
from tests.support.loaded import request_of


def test_vllms_tokenizer_counts_prompts_that_may_not_fit_its_window(start: Start) -> None:
    _, backend = start(answers_with("a"), owner="vllm")

    assert backend.abilities.window == 100
    assert backend.count_tokens(request_of("one two three")) == 3  # with an answer of 512


def test_a_prompt_that_surely_fits_costs_no_round_trip(start: Start) -> None:
    server, backend = start(answers_with("a"), owner="vllm", window=4096)

    few = backend.count_tokens(request_of("one two three"))
    with_a_session = backend.count_tokens(request_of("one two three", session_id="s", history=True))

    assert few > 3
    assert with_a_session == 3
    assert server.tokenized == 1


def test_a_prompt_is_estimated_where_nobody_counts_it(start: Start) -> None:
    _, backend = start(answers_with("a"))

    assert 0 < backend.count_tokens(request_of("one two three")) < 100
    assert backend.abilities.window == 0
