"""Where a setting comes from, and which source wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.settings import load_settings
from tests.support.configured import NO_FILE, in_file, load


def test_without_any_source_the_defaults_of_the_seeds_hold() -> None:
    settings = load()
    assert settings.backend == "mock"
    assert [one.name for one in settings.instances] == ["inst0", "inst1", "inst2", "inst3", "inst4"]
    assert (settings.ctx_tokens, settings.timeout_s) == (4096, 180)
    assert (settings.episode_timeout_s, settings.progress_extend_s) == (1800, 120)
    assert settings.episode_timeout_max_s == 3600
    assert (settings.temperature, settings.top_p, settings.max_tokens) == (0.7, 0.9, 512)


def test_a_gguf_file_alone_means_llama_cpp_and_a_named_backend_wins() -> None:
    env = {"APEX_GGUF_MODEL_PATH": "/m.gguf"}
    assert {one.backend for one in load(env).instances} == {"llama_cpp"}
    assert load({"LLM_MODEL": "hf:org/repo:file.gguf"}).backend == "llama_cpp"
    assert load(model="model.gguf").instances[0].backend == "llama_cpp"
    assert load(model="org/model").backend == "mock"
    assert load(env | {"LLM_BACKEND": "mock"}).backend == "mock"
    assert load(env | {"APEX_LLM_STUB": "1"}).instances[0].backend == "mock"
    assert load(env, backend="hf").instances[0].backend == "hf"
    table = {"name": "a", "backend": "vllm"}
    assert load(env, instances=[table]).instances[0].backend == "vllm"


def test_an_argument_wins_over_apex_over_llm_over_the_file_over_the_default(tmp_path: Path) -> None:
    env = in_file(tmp_path, "timeout_s = 10")
    assert load_settings(env=env).timeout_s == 10
    env["LLM_TIMEOUT"] = "20"
    assert load_settings(env=env).timeout_s == 20
    env["APEX_LLM_TIMEOUT_S"] = "30"
    assert load_settings(env=env).timeout_s == 30
    assert load_settings(env=env, timeout_s=40).timeout_s == 40


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("REDIS_URL", "rediss://u:p@h:1/2", "redis_url", "rediss://u:p@h:1/2"),
        ("APEX_LLM_BACKEND", "llama_cpp_metal", "backend", "llama_cpp"),
        ("APEX_LLM_BACKEND", "hf_cuda", "backend", "hf"),
        ("LLM_BACKEND", "Ollama", "backend", "ollama"),
        ("APEX_LLM_MODEL_ID", "m", "model", "m"),
        ("APEX_HF_MODEL_ID", "m", "model", "m"),
        ("LLM_MODEL", "m", "model", "m"),
        ("APEX_GGUF_MODEL_PATH", "/m.gguf", "gguf_model_path", Path("/m.gguf")),
        ("APEX_LLM_CTX_TOKENS", " 8192 ", "ctx_tokens", 8192),
        ("LLM_API_BASE", "http://h/v1", "api_base", "http://h/v1"),
        ("LLM_TEMPERATURE", "0", "temperature", 0),
        ("LLM_TOP_P", "1", "top_p", 1),
        ("LLM_MAX_TOKENS", "64", "max_tokens", 64),
        ("LLM_ENABLE_CACHE", "true", "enable_cache", True),
        ("LLM_ENABLE_CACHE", "false", "enable_cache", False),
        ("LLM_CACHE_DIR", "c", "cache_dir", Path("c").absolute()),
        ("APEX_CACHE_TTL_S", "60", "cache_ttl_s", 60),
        ("APEX_CACHE_MAX_MB", "0", "cache_max_mb", 0),
        ("APEX_LOG_PROMPTS", "1", "log_prompts", True),
        ("APEX_MOCK_DIRECTIVES", "yes", "mock_directives", True),
        ("APEX_EPISODE_TIMEOUT_S", "60", "episode_timeout_s", 60),
        ("APEX_PROGRESS_EXTEND_S", "60", "progress_extend_s", 60),
        ("APEX_EPISODE_TIMEOUT_MAX_S", "7200", "episode_timeout_max_s", 7200),
        ("APEX_LEASE_S", "0.5", "lease_s", 0.5),
        ("APEX_MAX_ATTEMPTS", "1", "max_attempts", 1),
        ("APEX_MAX_WAITING", "10", "max_waiting", 10),
        ("APEX_RETENTION_S", "1", "retention_s", 1),
        ("APEX_MAX_PROMPT_BYTES", "1", "max_prompt_bytes", 1),
        ("APEX_LOAD_TIMEOUT_S", "1", "load_timeout_s", 1),
        ("APEX_ABSENT_S", "1", "absent_s", 1),
        ("APEX_AFFINITY", "bounded", "affinity", "bounded"),
        ("APEX_PREFILL_TOKENS_PER_S", "50", "prefill_tokens_per_s", 50),
        ("APEX_USAGE_RETENTION_S", "63072000", "usage_retention_s", 2 * 365 * 86_400),
    ],
)
def test_a_variable_sets_its_field(variable: str, value: str, field: str, expected: object) -> None:
    assert getattr(load({variable: value}), field) == expected


def test_an_empty_variable_and_a_none_argument_count_as_not_given() -> None:
    assert load({"APEX_LLM_CTX_TOKENS": " "}, ctx_tokens=None).ctx_tokens == 4096


def test_variables_of_other_software_are_ignored() -> None:
    assert load({"LLM_PROXY": "x", "PATH": "/bin", "apex_x": "y"}) == load()


def test_the_file_beside_the_process_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file(tmp_path, "max_tokens = 7")
    monkeypatch.chdir(tmp_path)
    assert load_settings(env={}).max_tokens == 7
    assert load_settings(env={}).config == tmp_path / "apexq.toml"
    assert load_settings(env=NO_FILE).max_tokens == 512


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APEX_CONFIG", "")
    monkeypatch.setenv("LLM_MAX_TOKENS", "9")
    assert load_settings().max_tokens == 9
