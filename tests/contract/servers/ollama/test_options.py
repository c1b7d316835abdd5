"""What the table of an instance says, and what the server says of the model."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ollama")

from ledger.errors import InvalidSetting
from tests.support.apis import OLLAMA
from tests.support.fake_ollama import MODEL, WINDOW, FakeOllama
from tests.support.loaded import created, loaded, pieces_of
from tests.support.word_model import SHORT
from workers.backends import Backend


def test_the_instances_table_sets_the_models_options(server: FakeOllama) -> None:
    options = {"num_ctx": 1024, "keep_alive": "10m", "num_gpu": 0, "repeat_penalty": 1.1}

    with loaded(OLLAMA.table(server, think=False, **options)) as backend:
        pieces_of(backend, SHORT, temperature=0)

        assert backend.abilities.window == 1024
    [body] = server.of("/api/chat")
    assert (body["keep_alive"], body["think"]) == ("10m", False)
    of_the_model = {name: body["options"][name] for name in ("num_ctx", "num_gpu", "temperature")}
    assert of_the_model == {"num_ctx": 1024, "num_gpu": 0, "temperature": 0}
    assert body["options"]["repeat_penalty"] == 1.1


def test_the_window_is_never_larger_than_the_models_own(backend: Backend) -> None:
    assert backend.abilities.window == WINDOW


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_ctxx": 1}, "the backend ollama has no option 'num_ctxx'; it has base_url"),
        ({"num_ctx": "much"}, "num_ctx: "),
        ({"api_key": 5}, "api_key: "),
        ({"model": None}, "ollama needs the name of a model"),
        ({"base_url": "localhost:11434"}, "takes a URL such as http://localhost:8000"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    server: FakeOllama, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        created(OLLAMA.table(server, **options))


def test_where_the_server_is_says_the_table_then_the_setting_then_ollama_host(
    server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"backend": "ollama", "model": MODEL}
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")

    with loaded({**here, "base_url": server.url}, api_base="http://127.0.0.1:1"):
        pass
    with loaded(here, api_base=f"{server.url}/v1"):  # where its OpenAI-compatible API is
        pass
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    with loaded(here):
        pass

    assert len(server.of("/api/show")) == 3


def test_a_level_of_thinking_is_sent_by_the_models_own_name(server: FakeOllama) -> None:
    server.thinking = ["low", "max"]

    with loaded(OLLAMA.table(server, think="max")) as backend:
        pieces_of(backend, SHORT)

    [body] = server.of("/api/chat")
    assert body["think"] == "max"


def test_a_level_of_thinking_that_the_model_does_not_have_is_refused(server: FakeOllama) -> None:
    server.thinking = ["low", "max"]
    backend = created(OLLAMA.table(server, think="high"))

    with pytest.raises(InvalidSetting, match='has no think = "high"; it has "low", "max"'):
        backend.load()


def test_what_the_model_cannot_the_backend_lacks(server: FakeOllama) -> None:
    server.capabilities = ("completion",)

    with loaded(OLLAMA.table(server)) as backend:
        abilities = backend.abilities

    assert not abilities.images
    assert not abilities.reasoning
    assert "tools" not in abilities.options
