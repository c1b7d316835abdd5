"""Backends that fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.errors import BackendError
from ledger.messages import Request, State
from tests.support.runner_scene import Scene
from tests.support.scripted import PROMPT_TOKENS, Script, pieces
from tests.support.sentences import is_one_sentence
from workers.backends import Piece, Run
from workers.runner import Outcome


def test_a_backend_that_says_why_it_failed_is_quoted(scene: Scene) -> None:
    job = scene.submit()
    error = BackendError("The server said 503.", backend="mock", retriable=False)

    outcome = scene.run(job, Script([*pieces("a", "b"), error]))

    assert outcome == (Outcome.FAILED, "The server said 503.")
    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("ab", "error")
    assert record.text == scene.text(job)
    assert record.error is not None
    assert record.error["code"] == "backend_error"
    assert scene.charged == (PROMPT_TOKENS + 2, 0)


@pytest.mark.parametrize(
    "error", [ValueError("bad"), MemoryError(), RuntimeError(), KeyError("k"), OSError("x")]
)
def test_whatever_a_backend_raises_fails_the_job(scene: Scene, error: Exception) -> None:
    job = scene.submit()

    outcome, why = scene.run(job, Script([Piece("a"), error]))

    assert outcome is Outcome.FAILED
    assert type(error).__name__ in why
    assert scene.state(job) is State.FAILED
    assert scene.record(job).text == "a"


def test_an_answer_may_be_any_iterator(scene: Scene) -> None:
    class Plain(Script):
        def stream(self, run: Run) -> Iterator[Piece]:
            return iter(pieces("a", "b"))

    job = scene.submit()

    outcome, _ = scene.run(job, Plain([]))

    assert (outcome, scene.record(job).text) == (Outcome.SUCCEEDED, "ab")


def test_a_backend_that_cannot_count_fails_the_job(scene: Scene) -> None:
    class Dumb(Script):
        def count_tokens(self, request: Request) -> int:
            raise ValueError("no tokenizer")

    job = scene.submit()

    outcome, _ = scene.run(job, Dumb(pieces("a")))

    assert outcome is Outcome.FAILED
    error = scene.record(job).error
    assert error is not None
    assert "no tokenizer" in error["message"]
    assert scene.charged == (0, 0)


def test_what_a_library_says_is_cut_to_a_sentence(scene: Scene) -> None:
    job = scene.submit()
    error = RuntimeError("CUDA error\n  at line 1\n  " + "x" * 10_000)

    scene.run(job, Script([error]))

    with pytest.raises(BackendError) as said:
        job.result(timeout=5)
    assert is_one_sentence(said.value)
