"""Libraries and memory that a model needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from budgets import hf_config, machine
from ledger.errors import BackendMissing, InvalidSetting
from tests.contract.local.conftest import Refusal, Start
from tests.support.local_models import Library


@pytest.mark.parametrize(
    ("missing", "options"),
    [
        ("torch", {}),
        ("transformers", {}),
        ("bitsandbytes", {"quantization": "nf4"}),
        ("peft", {"adapters": ["here"]}),
    ],
)
def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch,
    start: Start,
    model: Path,
    missing: str,
    options: dict[str, Any],
) -> None:
    def find(name: str) -> object:
        return None if name == missing else name

    monkeypatch.setattr("workers.backends.hf.backend.find_spec", find)
    monkeypatch.setattr("workers.backends.hf.load.find_spec", find)
    if "adapters" in options:
        options = {"adapters": [str(model)]}

    with pytest.raises(BackendMissing, match=r"pip install 'apexq\[hf\]'"):
        start(**options)


def test_without_its_library_grammars_are_what_the_backend_lacks(
    library: Library, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workers.backends.hf.backend.find_spec", lambda name: name != "llguidance" or None
    )

    assert "response_format" not in library.created(model).abilities.options


def test_a_model_that_is_too_large_for_memory_is_refused_with_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch, model: Path, refusal: Refusal
) -> None:
    monkeypatch.setattr(machine, "available_bytes", lambda: 1_000_000)

    said = refusal(model, InvalidSetting)

    assert "tiny needs 0.0 GB (weights 0.0 + 4096 tokens of context 0.0)" in said


def test_quantised_weights_count_as_what_they_will_be(model: Path) -> None:
    full, packed = hf_config.read(model), hf_config.read(model, quantization="nf4")

    assert full is not None
    assert packed is not None
    assert full.weight_bytes == (model / "model.safetensors").stat().st_size
    assert full.weight_bytes / 8 < packed.weight_bytes < full.weight_bytes / 2
