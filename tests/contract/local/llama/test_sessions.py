"""What the library itself evaluates of a turn."""

from __future__ import annotations

import pytest

pytest.importorskip("llama_cpp")

from tests.support.local_models import answer, asked
from workers.backends.llama.backend import LlamaCppBackend


def test_llama_cpp_itself_counts_only_the_new_tokens_of_a_turn(backend: LlamaCppBackend) -> None:
    # Given a turn that was read, and an answer of more than one token; from then on it is exact
    story = "once upon a time " * 20
    answer(backend, asked(story, session_id="s1", max_tokens=3))
    prompt = backend.count_tokens(asked(story))
    for words in ("a", "b and c"):
        evaluated = backend.evaluated
        # When
        turn = asked(story + words, session_id="s1", max_tokens=10)
        pieces = answer(backend, turn)
        # Then
        kept = pieces[0].cached_tokens
        assert prompt - 3 <= kept < prompt  # the end of the template is no longer the same
        assert backend.evaluated - evaluated == backend.count_tokens(turn) - kept + 9
        assert all(piece.cached_tokens == 0 for piece in pieces[1:])
