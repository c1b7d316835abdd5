"""A model that is not there, and one that is downloaded."""

from __future__ import annotations

import pytest

pytest.importorskip("ollama")

from ledger.errors import ModelNotFound
from tests.support.apis import OLLAMA
from tests.support.fake_ollama import FakeOllama, send_lines
from tests.support.loaded import created, pieces_of, text_of
from tests.support.word_model import GREETING, SHORT


def test_a_model_that_is_not_there_keeps_the_instance_from_starting(server: FakeOllama) -> None:
    backend = created(OLLAMA.table(server, model="qwen2.5:1.5b"))

    with pytest.raises(ModelNotFound, match=r"run `ollama pull qwen2\.5:1\.5b`, or set pull"):
        backend.load()


def test_with_pull_it_is_downloaded_with_a_word_on_how_far_it_is(server: FakeOllama) -> None:
    said: list[str] = []
    backend = created(OLLAMA.table(server, model="qwen2.5:1.5b", pull=True))

    backend.load(said.append)

    assert text_of(pieces_of(backend, SHORT)) == GREETING
    backend.close()
    assert said[0] == "qwen2.5:1.5b: pulling manifest"
    assert "qwen2.5:1.5b: pulling 74701a8c35f6: 25 % of 2.00 GB" in said


def test_a_download_that_fails_says_why(server: FakeOllama) -> None:
    lines = [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
    server.script.append(lambda one: send_lines(one, lines))
    backend = created(OLLAMA.table(server, model="nothing:1b", pull=True))

    with pytest.raises(ModelNotFound, match="file does not exist"):
        backend.load()
