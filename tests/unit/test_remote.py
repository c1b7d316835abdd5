"""``LLM_BACKEND=remote`` finds its provider by LLM_API_BASE, or else by the form of the key."""

from __future__ import annotations

import pytest

from ledger.settings import load_settings
from workers.backends.remote import provider


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"LLM_API_KEY": "sk-proj-1"}, "openai"),
        ({"LLM_API_KEY": "sk-ant-api03-1"}, "anthropic"),
        ({"LLM_API_KEY": "gsk_1", "LLM_API_BASE": "https://api.groq.com/openai/v1"}, "openai"),
        ({"LLM_API_BASE": "https://api.anthropic.com"}, "anthropic"),
        ({"LLM_API_BASE": "https://not-anthropic.com/v1"}, "openai"),
        ({"LLM_API_KEY": "sk-ant-1", "LLM_API_BASE": "http://localhost:8000/v1"}, "openai"),
        ({}, "openai"),
    ],
)
def test_the_provider_is_found(env: dict[str, str], expected: str) -> None:
    settings = load_settings(env={"LLM_BACKEND": "remote", "LLM_MODEL": "m", **env})

    assert provider(settings.instances[0], settings) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"api_key": "sk-ant-1"}, "anthropic"),
        ({"base_url": "http://localhost:8000/v1", "api_key": "sk-ant-1"}, "openai"),
    ],
)
def test_what_the_instances_own_table_says_goes_first(table: dict[str, str], expected: str) -> None:
    settings = load_settings(
        env={"LLM_API_KEY": "sk-1"}, instances=[{"name": "inst0", "backend": "remote", **table}]
    )

    assert provider(settings.instances[0], settings) == expected
