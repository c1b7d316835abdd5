"""Keys and passwords among the settings."""

from __future__ import annotations

import pytest

from ledger.settings import InstanceSpec
from tests.support.configured import complaint, load


def test_secrets_are_never_shown() -> None:
    spec = InstanceSpec(name="a", backend="remote", options={"api_key": "hidden3"})
    env = {
        "LLM_API_KEY": "hidden1",
        "REDIS_URL": "redis://:hidden2@h/0",
        "LLM_API_BASE": "http://me:hidden4@h/v1",
    }
    settings = load(env, instances=(spec,))
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "hidden1"
    assert "hidden" not in repr(settings) + str(settings)
    assert "hidden" not in complaint({"REDIS_URL": "hidden@host"})


def test_a_keys_newline_is_no_part_of_it() -> None:
    key = load({"LLM_API_KEY": "sk-1\n"}).api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"


@pytest.mark.parametrize("key", ["sk-\nhidden", "sk-hiddén", "sk-hidden\x00"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    said = complaint({"LLM_API_KEY": key})

    assert said == "LLM_API_KEY: the key has a character that no key has; copy it again."
