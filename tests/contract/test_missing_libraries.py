"""A backend whose library is not installed says what installs it, before anything is loaded."""

from __future__ import annotations

import pytest

from ledger.errors import BackendMissing
from tests.support.loaded import created
from tests.support.sentences import is_one_sentence


@pytest.mark.parametrize(
    ("backend", "package", "extra"),
    [
        ("llama_cpp", "llama", "llama"),
        ("hf", "hf", "hf"),
        ("mlx", "mlx", "mlx"),
        ("vllm_engine", "vllm_engine", "vllm"),
        ("openai", "openai", "openai"),
        ("lmstudio", "openai", "openai"),
        ("vllm", "openai", "openai"),
        ("ollama", "ollama", "ollama"),
        ("anthropic", "anthropic", "anthropic"),
    ],
)
def test_a_missing_library_is_named_by_its_extra(
    monkeypatch: pytest.MonkeyPatch, backend: str, package: str, extra: str
) -> None:
    monkeypatch.setattr(f"workers.backends.{package}.backend.find_spec", lambda name: None)

    with pytest.raises(BackendMissing, match=rf"pip install 'apexq\[{extra}\]'") as caught:
        created({"backend": backend, "model": "org/model"})
    assert is_one_sentence(caught.value)
