"""A character of several tokens that is cut by the limit."""

from __future__ import annotations

import pytest

pytest.importorskip("llama_cpp")

from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import answer, asked, grammar
from workers.backends.llama.backend import LlamaCppBackend


def test_a_character_cut_by_the_limit_is_left_out_and_its_tokens_count(
    backend: LlamaCppBackend,
) -> None:
    request = asked(response_format=grammar('root ::= "x" "🙂"'), max_tokens=3)

    pieces = answer(backend, request)

    assert (text_of(pieces), tokens_of(pieces)) == ("x", 3)
    assert pieces[-1].finish_reason == "length"
