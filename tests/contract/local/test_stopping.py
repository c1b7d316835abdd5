"""What ends an answer: the model itself, and who no longer wants it."""

from __future__ import annotations

from typing import Any

from tests.contract.local.conftest import Start
from tests.support.local_models import Library, answer, asked
from workers.backends import Piece, Run


def test_the_models_own_end_ends_the_answer(backend: Any, library: Library) -> None:
    pieces = answer(backend, asked(logit_bias={str(library.tiny.EOS): 1000}))

    assert pieces == [Piece("", 0, "stop")]


def test_nothing_comes_once_it_is_told_to_stop(backend: Any) -> None:
    run = Run(asked(max_tokens=50), 50)
    pieces = backend.stream(run)
    next(pieces)

    run.stop.set()

    assert list(pieces) == []


def test_a_long_prompt_is_given_up_between_two_batches(start: Start) -> None:
    backend = start(n_batch=8)
    run = Run(asked("word " * 200), 5)
    run.stop.set()

    assert list(backend.stream(run)) == []
    assert backend.counters.read == 0
