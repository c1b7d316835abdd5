"""A key goes to the server, and nobody gets to see it."""

from __future__ import annotations

import pytest

pytest.importorskip("ollama")

from ledger.errors import BackendAuth, to_record
from tests.support.apis import OLLAMA
from tests.support.fake_ollama import FakeOllama
from tests.support.loaded import created, loaded, pieces_of
from tests.support.word_model import SHORT


def test_a_key_goes_to_the_server_and_is_shown_to_nobody(server: FakeOllama) -> None:
    with loaded(OLLAMA.table(server, api_key="secret-key")) as backend:
        server.script.append(lambda one: one.reply(401, {"error": "unauthorized"}))

        with pytest.raises(BackendAuth) as raised:
            pieces_of(backend, SHORT)

    assert server.asked[0].headers["authorization"] == "Bearer secret-key"
    assert "secret-key" not in f"{raised.value!r} {raised.value.facts} {vars(backend)}"


def test_the_key_of_the_environment_is_in_no_message(
    server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret-key\n")
    with loaded(OLLAMA.table(server)) as backend:
        server.script.append(lambda one: one.reply(401, {"error": "bad key secret-key"}))

        with pytest.raises(BackendAuth) as raised:
            pieces_of(backend, SHORT)

    assert raised.value.said == "bad key ***"
    assert server.asked[-1].headers["authorization"] == "Bearer secret-key"


def test_a_key_of_the_environment_that_cannot_be_sent_is_refused_and_not_shown(
    server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "sk-\nhidden")

    with pytest.raises(BackendAuth, match="check OLLAMA_API_KEY") as raised:
        created(OLLAMA.table(server)).load()

    assert "hidden" not in str(to_record(raised.value))
