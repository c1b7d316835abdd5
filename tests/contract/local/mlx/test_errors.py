"""Errors of the library."""

from __future__ import annotations

import pytest

pytest.importorskip("mlx_lm")

from ledger.errors import BackendError
from tests.contract.local.conftest import Start
from tests.support.loaded import text_of
from tests.support.local_models import answer, asked
from tests.support.sentences import is_one_sentence


@pytest.mark.parametrize("n_batch", [4, 512])
def test_a_model_that_runs_out_of_memory_fails_that_job_alone(
    start: Start, monkeypatch: pytest.MonkeyPatch, n_batch: int
) -> None:
    # Given a session's turn that was answered once
    backend = start(n_batch=n_batch)
    turn = asked("hello there", session_id="s1")
    expected = text_of(answer(backend, turn))
    backend.forget("default")

    def fails(*args: object) -> None:
        raise RuntimeError("[metal::malloc] Attempting to allocate 1 bytes\nand more of that")

    # When the memory is not there at first
    with monkeypatch.context() as patched:
        patched.setattr("mlx.core.eval", fails)
        with pytest.raises(BackendError, match=r"read its context: \[metal::") as caught:
            answer(backend, turn)
    # Then
    assert is_one_sentence(caught.value)
    assert text_of(answer(backend, turn)) == expected
