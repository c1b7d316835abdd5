"""Whose key it is, and who gets to see it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("anthropic")

from ledger.errors import BackendAuth
from tests.support.apis import ANTHROPIC
from tests.support.fake_anthropic import KEY, MODEL, FakeAnthropic, refuse
from tests.support.loaded import created, loaded, pieces_of, text_of
from tests.support.word_model import GREETING, SHORT


def test_a_key_that_is_not_accepted_keeps_the_instance_from_starting(
    server: FakeAnthropic,
) -> None:
    backend = created(ANTHROPIC.table(server, api_key="sk-ant-wrong"))

    with pytest.raises(BackendAuth, match="invalid x-api-key") as raised:
        backend.load()

    assert "sk-ant-wrong" not in f"{raised.value!r} {raised.value.facts} {vars(backend)}"


@pytest.mark.parametrize(
    ("variable", "said"), [("HOME", "there is none"), ("ANTHROPIC_CONFIG_DIR", "not found")]
)
def test_without_any_key_it_says_so(
    server: FakeAnthropic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, said: str
) -> None:
    for name in ("API_KEY", "AUTH_TOKEN", "PROFILE", "CONFIG_DIR"):
        monkeypatch.delenv(f"ANTHROPIC_{name}", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    backend = created({**ANTHROPIC.table(server), "api_key": None})

    with pytest.raises(BackendAuth, match=said):
        backend.load()


def test_key_and_server_may_be_those_of_the_settings(server: FakeAnthropic) -> None:
    here = {"backend": "anthropic", "model": MODEL}

    with loaded(here, api_key=KEY, api_base=f"{server.url}/v1") as backend:
        assert text_of(pieces_of(backend, SHORT)) == GREETING


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_the_key_of_the_environment_is_in_no_message(
    server: FakeAnthropic, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"{KEY}\n")
    server.script.append(lambda one: refuse(one, 401, "authentication_error", f"bad key {KEY}"))

    with (
        loaded({"backend": "anthropic", "model": MODEL, "base_url": server.url}) as backend,
        pytest.raises(BackendAuth) as raised,
    ):
        pieces_of(backend, SHORT)

    assert raised.value.said == "bad key ***"
