"""Models that mlx-lm cannot load, or may not: each refusal is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mlx_lm")

from ledger.errors import ApexError, BackendError, InvalidSetting
from tests.contract.local.conftest import Refusal
from tests.support import tiny_safetensors


@pytest.mark.parametrize(
    ("name", "contents", "kind", "said"),
    [
        ("config.json", None, InvalidSetting, "config.json"),
        ("config.json", b"{", InvalidSetting, "cannot be read"),
        ("config.json", b'{"model_type": "zebra"}', BackendError, "zebra"),
        ("model.safetensors", None, InvalidSetting, "safetensors"),
        ("model.safetensors", b"", BackendError, "could not be loaded"),
        ("model.safetensors", b"\0" * 5000, BackendError, "could not be loaded"),
        ("tokenizer.json", b"{}", BackendError, "could not be loaded"),
        ("tokenizer.json", None, InvalidSetting, "has no tokenizer; add the model's tokenizer"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path,
    name: str,
    contents: bytes | None,
    kind: type[ApexError],
    said: str,
    refusal: Refusal,
) -> None:
    folder = tiny_safetensors.write(tmp_path / "damaged")
    if contents is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(contents)

    assert said in refusal(folder, kind)


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path, refusal: Refusal) -> None:
    folder = tiny_safetensors.write(tmp_path / "coded")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "code.py"}))
    (folder / "code.py").write_text("raise SystemExit('it ran')")

    assert "could not be loaded" in refusal(folder, BackendError)


def test_a_model_that_is_too_large_for_memory_is_refused_with_the_arithmetic(
    tmp_path: Path, refusal: Refusal
) -> None:
    folder = tiny_safetensors.write(tmp_path / "large")
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 43)  # a hole: it takes no room on the disk

    assert "needs 8796.1 GB" in refusal(folder, InvalidSetting)


def test_a_model_must_be_named_and_be_there(tmp_path: Path, refusal: Refusal) -> None:
    assert "set APEX_LLM_MODEL_ID" in refusal(None, InvalidSetting)
    assert "no folder" in refusal(tmp_path / "nowhere", InvalidSetting)
