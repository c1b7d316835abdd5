"""Stop texts, at every place of an answer."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("llama_cpp")

from tests.contract.local.conftest import Start
from tests.support.loaded import text_of, tokens_of
from tests.support.local_models import answer, asked, cuts
from workers.backends.llama.backend import LlamaCppBackend


def test_a_stop_string_ends_the_answer_and_does_not_show(backend: LlamaCppBackend) -> None:
    whole = text_of(answer(backend, asked()))

    for start_at in range(0, len(whole) - 6):
        stop = whole[start_at : start_at + 4]
        expected = whole[: whole.find(stop)]
        pieces = answer(backend, asked(stop=(stop, "never seen")))
        seen = list(itertools.accumulate(piece.text for piece in pieces))

        assert pieces[-1].finish_reason == "stop"
        assert seen[-1] == expected
        assert all(expected.startswith(part) for part in seen)


def test_an_answer_with_a_stop_string_is_continued_from_every_cut(
    backend: LlamaCppBackend, start: Start
) -> None:
    whole = text_of(answer(backend, asked()))
    request = asked(stop=(whole[40:46],))
    stopped = answer(backend, request)
    another = start()

    for before, made in cuts(stopped):
        rest = answer(another, request, before, made)
        assert before + text_of(rest) == text_of(stopped)
        assert made + tokens_of(rest) == tokens_of(stopped)


def test_the_beginning_of_a_stop_string_shows_when_no_more_comes(backend: LlamaCppBackend) -> None:
    whole = text_of(answer(backend, asked()))

    assert text_of(answer(backend, asked(stop=(whole[-3:] + "zzz",)))) == whole
