"""LoRA adapters in mlx-lm's form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mlx_lm")

import numpy as np
from safetensors.numpy import save_file

from ledger.errors import BackendError
from tests.contract.local.conftest import Refusal, Start
from tests.support.loaded import text_of
from tests.support.local_models import answer, asked
from tests.support.tiny_safetensors import LAYERS, WIDTH


def lora(folder: Path) -> Path:
    """An adapter for the queries of all layers."""
    folder.mkdir()
    rank, name = 4, "self_attn.q_proj"
    config = {
        "fine_tune_type": "lora",
        "num_layers": LAYERS,
        "lora_parameters": {"rank": rank, "scale": 8.0, "dropout": 0.0, "keys": [name]},
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = np.random.default_rng(1)
    weights = {
        f"model.layers.{layer}.{name}.lora_{side}": random.normal(0, 0.3, shape).astype(np.float32)
        for layer in range(LAYERS)
        for side, shape in (("a", (WIDTH, rank)), ("b", (rank, WIDTH)))
    }
    save_file(weights, folder / "adapters.safetensors")
    return folder


def test_an_adapter_changes_what_is_said(tmp_path: Path, start: Start) -> None:
    plain = text_of(answer(start(), asked()))

    adapted = start(adapter=str(lora(tmp_path / "adapter")))

    assert text_of(answer(adapted, asked())) != plain


def test_an_adapter_may_be_named_from_the_home_folder(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    lora(tmp_path / "adapter")

    assert text_of(answer(start(adapter="~/adapter"), asked()))


def test_an_adapter_that_is_not_there_is_refused(
    model: Path, tmp_path: Path, refusal: Refusal
) -> None:
    assert "adapter" in refusal(model, BackendError, adapter=str(tmp_path / "nowhere"))
