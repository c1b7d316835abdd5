"""Where an instance's servers are."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.model_servers import servers_of
from ledger.settings import load_settings

OWN = "http://own:8000/v1"


def servers(table: dict[str, Any], **settings: Any) -> tuple[str, ...]:
    found = load_settings(
        env={"APEX_CONFIG": ""}, instances=[{"name": "inst0", **table}], **settings
    )
    return servers_of(found.instances[0], found)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"backend": "openai", "base_url": f"{OWN}/"}, (OWN,)),
        ({"backend": "vllm", "endpoints": [OWN, "http://b/v1/"]}, (OWN, "http://b/v1")),
        ({"backend": "lmstudio"}, ("http://localhost:1234/v1",)),
        ({"backend": "anthropic"}, ("https://api.anthropic.com",)),
        ({"backend": "vllm"}, ()),
        ({"backend": "remote"}, ()),
        ({"backend": "mock"}, ()),
        ({"backend": "openai", "base_url": "localhost:8000"}, ()),
        ({"backend": "openai", "endpoints": 5}, ()),
    ],
)
def test_a_table_names_its_servers_or_its_backend_knows_one(
    table: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert servers(table) == expected


def test_the_common_address_counts_where_a_table_names_none() -> None:
    assert servers({"backend": "remote"}, api_base=OWN) == (OWN,)
    assert servers({"backend": "openai", "base_url": "http://b"}, api_base=OWN) == ("http://b",)
    assert servers({"backend": "llama_cpp"}, api_base=OWN) == ()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("", "http://127.0.0.1:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:80", "http://gpu-box:80"),
        (":8080", "http://127.0.0.1:8080"),
        ("[::1]", "http://[::1]:11434"),
        ("gpu-box/api", "http://gpu-box:11434/api"),
        ("https://gpu-box", "https://gpu-box"),
    ],
)
def test_ollama_is_where_its_own_variable_says(
    monkeypatch: pytest.MonkeyPatch, host: str, expected: str
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert servers({"backend": "ollama"}) == (expected,)


def test_anthropic_is_where_its_sdks_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{OWN}/")
    assert servers({"backend": "anthropic"}) == (OWN,)
    assert servers({"backend": "anthropic", "base_url": "http://b"}) == ("http://b",)
    assert servers({"backend": "openai"}) == ("https://api.openai.com/v1",)
