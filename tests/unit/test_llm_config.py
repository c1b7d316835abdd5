"""LLMConfig: from arguments, from LLM_*, and its complaints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.errors import InvalidSetting, UnknownBackend
from ledger.instance_spec import BACKENDS
from ledger.settings import load_settings
from producer import LLMConfig, get_llm_client
from tests.support.sentences import is_one_sentence


@pytest.fixture(autouse=True)
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_variables_of_the_seed_say_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "LLM_BACKEND": "ollama",
        "LLM_MODEL": "qwen2.5:1.5b",
        "LLM_TEMPERATURE": "0.2",
        "LLM_MAX_TOKENS": "256",
        "LLM_TOP_P": "0.5",
        "LLM_TIMEOUT": "30",
        "LLM_ENABLE_CACHE": "true",
        "LLM_CACHE_DIR": "/tmp/.llm_cache",
        "LLM_API_KEY": "k",
        "LLM_API_BASE": "https://api.example/v1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = LLMConfig()
    assert (config.backend, config.model) == ("ollama", "qwen2.5:1.5b")
    assert (config.temperature, config.max_tokens, config.top_p) == (0.2, 256, 0.5)
    assert (config.timeout_s, config.enable_cache) == (30, True)
    assert config.cache_dir == Path("/tmp/.llm_cache")


def test_arguments_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BACKEND", "ollama")
    monkeypatch.setenv("LLM_TEMPERATURE", "0.2")
    config = LLMConfig(backend="mlx", model="m", temperature=0.7, max_tokens=64)
    assert (config.backend, config.model, config.temperature) == ("mlx", "m", 0.7)
    assert config.options == {"temperature": 0.7, "max_tokens": 64}


def test_without_anything_the_defaults_of_the_seed_hold_and_nothing_is_sent() -> None:
    config = LLMConfig()
    assert (config.temperature, config.max_tokens, config.top_p) == (0.7, 512, 0.9)
    assert config.options == {}
    assert not config.names_backend


def test_settings_may_be_given_whole() -> None:
    settings = load_settings(env={"APEX_CONFIG": "", "LLM_TOP_P": "0.1"}, redis_url="redis://h:1/0")
    config = LLMConfig(settings=settings, max_tokens=9)
    assert config.settings.redis_url == "redis://h:1/0"
    assert config.options == {"max_tokens": 9, "top_p": 0.1}


def test_a_stub_answers_for_every_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APEX_LLM_STUB", "1")
    config = LLMConfig(backend="ollama")
    assert (config.backend, config.names_backend) == ("mock", False)


def test_an_empty_argument_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MODEL", "m")
    config = LLMConfig(backend="", model="")
    assert (config.model, config.names_backend) == ("m", False)


def test_other_names_of_a_backend_are_understood() -> None:
    assert LLMConfig(backend="llama_cpp_metal").backend == "llama_cpp"
    assert LLMConfig(backend="hf_cuda").backend == "hf"


def test_an_unknown_backend_is_no_mock() -> None:
    with pytest.raises(UnknownBackend, match=r"\(did you mean ollama\?\)\.$") as caught:
        get_llm_client(LLMConfig(backend="olama"))
    assert is_one_sentence(caught.value)


def test_an_unknown_backend_of_a_variable_is_no_mock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_BACKEND", "mokc")
    with pytest.raises(UnknownBackend, match="did you mean mock"):
        get_llm_client()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temprature": 1}, "LLMConfig has no 'temprature'; did you mean 'temperature'?"),
        ({"timeout": 1}, "did you mean 'timeout_s'?"),
        ({"api_key": "k"}, "set LLM_API_KEY where `celery -A workers worker` starts"),
        ({"max_tokens": 0}, "The argument max_tokens must be"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_it_cannot_use_is_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        LLMConfig(**given)
    assert expected in caught.value.message


def test_the_names_of_backends_are_those_of_the_workers_table() -> None:
    from workers.backends.table import BUILT_IN

    assert set(BACKENDS) == set(BUILT_IN)
