"""A prompt is given up in the midst of a batch, between two layers."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.contract.local.conftest import Start
from tests.support import tiny_safetensors
from tests.support.loaded import text_of
from tests.support.local_models import answer, asked
from workers.backends import Run


class Countdown(threading.Event):
    """Is set once it has been looked at so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.mark.parametrize("looks", range(tiny_safetensors.LAYERS + 1))
def test_a_prompt_is_given_up_between_two_layers(start: Start, looks: int) -> None:
    # Given a session with a first turn
    backend = start()
    turns = [asked("a story " * n, session_id="s1", max_tokens=20) for n in (10, 40)]
    expected = [text_of(answer(backend, one)) for one in turns]
    backend.forget("default")
    answer(backend, turns[0])
    # When the next one is stopped while a layer reads it
    assert list(backend.stream(Run(turns[1], 20, stop=Countdown(looks)))) == []
    # Then what was read before is still there, and nothing of what was not read
    assert text_of(answer(backend, turns[1])) == expected[1]
    assert backend.counters.reused > 10
    assert text_of(answer(backend, turns[0])) == expected[0]
