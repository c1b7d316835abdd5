"""What `apexq doctor` finds of the backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.errors import BackendMissing
from ledger.settings import Settings, load_settings
from producer.cli import backend_checkup
from producer.cli.backend_checkup import LIBRARIES, check_backends
from tests.support.loaded import created

PACKAGES = {"llama_cpp": "llama", "lmstudio": "openai", "vllm": "openai"}  # others: their names


def with_backends(*backends: str) -> Settings:
    tables = [{"name": f"inst{n}", "backend": backend} for n, backend in enumerate(backends)]
    return load_settings(env={"APEX_CONFIG": ""}, instances=tables)


def without(*missing: str) -> Callable[[str], Any]:
    """A ``find_spec`` that does not find these."""
    return lambda name: None if name in missing else object()


def test_a_backend_that_needs_nothing_is_well() -> None:
    check = check_backends(with_backends("mock", "remote", "mock"))
    assert (check.status, check.found) == ("ok", "mock, remote")


def test_a_backend_that_there_is_not_fails_with_the_instance_that_has_it() -> None:
    check = check_backends(with_backends("mock", "olama"))
    assert (check.status, check.found) == ("fail", "inst1: there is no backend 'olama'")
    assert "ollama" in check.todo


def test_a_missing_library_is_a_warning_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend_checkup, "find_spec", without("llama_cpp", "transformers"))
    check = check_backends(with_backends("llama_cpp", "openai", "hf"))
    assert (check.status, check.found) == (
        "warn",
        "llama_cpp, hf: the library is not installed here",
    )
    assert check.todo == "pip install 'apexq[llama,hf]' where the instances run"


@pytest.mark.parametrize(
    ("backend", "extra", "library"),
    [(backend, extra, one) for backend, (extra, all_) in LIBRARIES.items() for one in all_],
)
def test_the_backend_itself_misses_the_same(
    monkeypatch: pytest.MonkeyPatch, backend: str, extra: str, library: str
) -> None:
    package = PACKAGES.get(backend, backend)
    monkeypatch.setattr(f"workers.backends.{package}.backend.find_spec", without(library))
    with pytest.raises(BackendMissing, match=rf"apexq\[{extra}\]"):
        created({"backend": backend, "model": "org/model"})
