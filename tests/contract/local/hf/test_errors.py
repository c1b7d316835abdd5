"""Errors of the library, and of the device."""

from __future__ import annotations

import os
import signal
import weakref
from collections.abc import Callable

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from ledger.errors import BackendError
from tests.support.loaded import text_of
from tests.support.local_models import answer, asked
from tests.support.sentences import is_one_sentence
from workers.backends.hf.backend import HfBackend


def test_a_model_that_runs_out_of_memory_fails_that_job_alone(
    backend: HfBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = text_of(answer(backend, asked()))
    with monkeypatch.context() as patched:
        patched.setattr(
            "torch.nn.functional.linear", raising(torch.OutOfMemoryError("CUDA out of"))
        )
        with pytest.raises(
            BackendError, match="could not read its context: out of memory"
        ) as caught:
            answer(backend, asked())
    assert is_one_sentence(caught.value)
    assert not caught.value.retriable

    assert text_of(answer(backend, asked())) == expected


def test_a_step_that_fails_has_given_its_memory_back_before_it_is_told(
    backend: HfBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a session with a context
    engine = backend._loaded._engine
    answer(backend, asked(session_id="s1"))
    held = [weakref.ref(engine._cache.layers[0])]

    class Activations:
        """What a layer has computed."""

    def fails(*args: object, **options: object) -> None:
        activations = Activations()
        held.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory")

    alive: list[object] = []
    forget = engine.clear

    def clear() -> None:
        forget()
        alive.extend(one() for one in held)

    # When its next turn fails
    monkeypatch.setattr("torch.nn.functional.linear", fails)
    monkeypatch.setattr(engine, "clear", clear)
    with pytest.raises(BackendError):
        answer(backend, asked("hello again", session_id="s1"))
    # Then
    assert alive == [None, None]


def test_a_process_whose_gpu_is_lost_ends(
    backend: HfBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with …")
    monkeypatch.setattr("torch.nn.functional.linear", raising(error))
    ended = []
    monkeypatch.setattr("os.kill", lambda *args: ended.append(args))

    answer(backend, asked())

    assert ended == [(os.getpid(), signal.SIGKILL)]
    assert "The GPU reports: CUDA error: device-side assert triggered; this" in caplog.text


def raising(error: Exception) -> Callable[..., None]:
    def raises(*args: object, **options: object) -> None:
        raise error

    return raises
