"""An answer goes on from its text where that can be told to the model."""

from __future__ import annotations

import pytest

pytest.importorskip("ollama")

from tests.support.apis import OLLAMA
from tests.support.fake_ollama import FakeOllama
from tests.support.loaded import loaded, pieces_of, text_of
from tests.support.word_model import LONG
from workers.backends import Backend


def test_a_raw_prompt_goes_in_as_it_is_and_is_gone_on_from(server: FakeOllama) -> None:
    prompt = f"{LONG}\nAnswer:"
    with loaded(OLLAMA.table(server, raw=True)) as backend:
        whole = pieces_of(backend, prompt, 9)
        after = pieces_of(backend, prompt, 5, text_of(whole[:4]))

        assert (backend.abilities.continues, backend.abilities.chat) == (True, False)
    assert text_of(whole[:4]) + text_of(after) == text_of(whole)
    first, second = server.of("/api/generate")
    assert (first["raw"], first["prompt"]) == (True, prompt)
    assert second["prompt"] == prompt + text_of(whole[:4])


def test_with_prefill_an_answer_is_gone_on_from_in_a_last_message(server: FakeOllama) -> None:
    with loaded(OLLAMA.table(server, prefill=True)) as backend:
        whole = pieces_of(backend, LONG, 9)
        after = pieces_of(backend, LONG, 5, text_of(whole[:4]))

        assert backend.abilities.continues
    assert text_of(whole[:4]) + text_of(after) == text_of(whole)
    assert after[-1].prompt_tokens is None  # what the server counts has the beginning too
    last = server.of("/api/chat")[-1]["messages"][-1]
    assert last == {"role": "assistant", "content": text_of(whole[:4])}


def test_without_it_no_answer_is_gone_on_from(backend: Backend) -> None:
    assert not backend.abilities.continues
