"""Contexts of other sessions, in the machine's memory."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from tests.contract.local.conftest import Start
from tests.support.loaded import text_of
from tests.support.local_models import answer, asked


def test_kept_sessions_stay_within_their_memory(start: Start) -> None:
    # Given contexts of 0.7 MiB, and room for one of them beside the current one
    backend = start(kept_mib=1)
    story = "once upon a time there was a king. " * 28
    for number in range(3):
        answer(backend, asked(story, session_id=f"s{number}"))

    answer(backend, asked(story, session_id="s1"))
    assert backend.counters.read == 1
    answer(backend, asked(story, session_id="s0"))
    assert backend.counters.reused == 0


def test_a_kept_context_for_which_the_gpu_has_no_room_is_read_anew(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a session that was put away
    backend = start()
    turn = asked("a story", session_id="s1")
    expected = text_of(answer(backend, turn))
    answer(backend, asked("another one", session_id="s2"))

    def fails(cache: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    # When
    monkeypatch.setattr("workers.backends.hf.cache.HfCache.to_device", fails)
    # Then
    assert text_of(answer(backend, turn)) == expected
    assert backend.counters.reused == 0
