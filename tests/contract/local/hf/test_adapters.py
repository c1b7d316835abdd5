"""LoRA adapters of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import numpy as np
from safetensors.numpy import save_file

from ledger.errors import BackendError, InvalidSetting
from tests.contract.local.conftest import Refusal, Start
from tests.support.loaded import text_of
from tests.support.local_models import Library, answer, asked
from tests.support.tiny_safetensors import LAYERS, WIDTH


@pytest.fixture(autouse=True)
def _peft() -> None:
    """Not before a test needs it: it takes seconds to import."""
    pytest.importorskip("peft")


@pytest.fixture
def model(library: Library, tmp_path: Path) -> Path:
    """One of the test's own, since it is damaged."""
    return library.write(tmp_path)


def lora(folder: Path, *, rows: int = WIDTH, layers: int = LAYERS) -> Path:
    """A LoRA adapter of rank 2 on the query matrices of as many layers."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "r": 2,
                "lora_alpha": 64,
                "target_modules": ["q_proj"],
            }
        )
    )
    random = np.random.default_rng(len(folder.name))
    weights = {}
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora"
        weights[f"{name}_A.weight"] = random.normal(size=(2, rows)).astype(np.float32)
        weights[f"{name}_B.weight"] = random.normal(size=(WIDTH, 2)).astype(np.float32)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def said_by(start: Start, **options: Any) -> str:
    return text_of(answer(start(**options), asked()))


def test_an_adapter_changes_what_the_model_says(tmp_path: Path, start: Start) -> None:
    one, other = lora(tmp_path / "one"), lora(tmp_path / "other")

    plain = said_by(start)
    adapted = said_by(start, adapters=[str(one)])

    assert adapted != plain
    assert said_by(start, adapters=[str(one)]) == adapted
    assert said_by(start, adapters=[str(one), str(other)]) not in (plain, adapted)


def test_an_adapter_works_on_quantised_weights(tmp_path: Path, start: Start) -> None:
    pytest.importorskip("bitsandbytes")
    options = {"quantization": "nf4"}

    adapted = said_by(start, adapters=[str(lora(tmp_path / "one"))], **options)

    assert adapted != said_by(start, **options)


def test_an_adapter_that_cannot_be_used_is_refused(
    model: Path, tmp_path: Path, refusal: Refusal
) -> None:
    pickled, wide = lora(tmp_path / "pickled"), lora(tmp_path / "wide", rows=7)
    deep, flat = lora(tmp_path / "deep", layers=3), lora(tmp_path / "flat", layers=1)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")

    said = refusal(model, InvalidSetting, adapters=[str(pickled)])
    assert "no adapter that can be loaded: it has no adapter_model.safetensors" in said
    said = refusal(model, BackendError, adapters=[str(wide)])
    assert "The adapter wide is not for this model: model.layers.0.self_attn.q_proj.lora_A" in said
    assert "has the shape [2, 7], not [2, 128]." in said
    for other in (deep, flat):
        said = refusal(model, BackendError, adapters=[str(other)])
        assert f"The adapter {other.name} is not for this model" in said
    said = refusal(model, InvalidSetting, adapters=["./nowhere"])
    assert "There is no folder ./nowhere; check adapters in its table" in said
    (deep / "adapter_config.json").rename(model / "adapter_config.json")
    said = refusal(model, InvalidSetting)
    assert "tiny has a LoRA adapter in it: name its base model" in said
