"""Models in Hugging Face's format that cannot be loaded, and where they come from: each refusal is
one sentence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import numpy as np
from safetensors.numpy import load_file, save_file

from budgets import hf_config, machine
from ledger.errors import ApexError, BackendError, BackendMissing, InvalidSetting
from ledger.settings import load_settings
from tests.support import tiny_safetensors
from tests.support.sentences import is_one_sentence
from workers.backends import create
from workers.backends.base import Say, unsaid
from workers.backends.local import folder as hf_source


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_safetensors.write(tmp_path / "tiny")


def load(model: Path | str, say: Say = unsaid, **options: Any) -> None:
    """Loads it as a worker does."""
    table = {"name": "inst0", "backend": "hf", "model": str(model), "device": "cpu", **options}
    settings = load_settings(env={}, instances=[table])
    backend = create(settings.instances[0], settings)
    backend.load(say)
    backend.close()


def refusal(
    model: Path | str,
    kind: type[ApexError],
    capfd: pytest.CaptureFixture[str],
    **options: Any,
) -> str:
    with pytest.raises(kind) as caught:
        load(model, **options)
    assert type(caught.value) is kind
    assert is_one_sentence(caught.value)
    assert capfd.readouterr().err == ""
    return str(caught.value)


def configured(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# ---- Folders


def test_a_folder_that_is_not_there_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert "There is no folder ./nowhere" in refusal("./nowhere", InvalidSetting, capfd)


def test_a_file_is_no_folder(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = refusal(model / "config.json", InvalidSetting, capfd)

    assert "is a file; name the folder" in said


def test_pickled_weights_are_never_loaded(
    model: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (model / "model.safetensors").unlink()
    assert "has no weights in safetensors." in refusal(model, InvalidSetting, capfd)

    (model / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "ran"))
    said = refusal(model, InvalidSetting, capfd)

    assert "pytorch_model.bin may hold code (pickle) and is never loaded" in said
    assert not (tmp_path / "ran").exists()


def test_code_of_a_model_is_never_run(
    model: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (model / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    configured(
        model,
        model_type="own",
        auto_map={
            "AutoConfig": "modeling_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        },
    )

    said = refusal(model, InvalidSetting, capfd)

    assert "needs code of its own (trust_remote_code), which hf never runs" in said
    assert not (tmp_path / "ran").exists()


def test_code_beside_a_known_kind_of_model_is_passed_over(model: Path, tmp_path: Path) -> None:
    (model / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    configured(model, auto_map={"AutoModelForCausalLM": "modeling_own.OwnModel"})

    load(model)

    assert not (tmp_path / "ran").exists()


def test_a_kind_of_model_that_the_library_does_not_know_is_refused(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configured(model, model_type="tomorrow")

    assert "kind 'tomorrow', which transformers" in refusal(model, InvalidSetting, capfd)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_config_that_cannot_be_read_is_refused(
    model: Path, capfd: pytest.CaptureFixture[str], content: str | None
) -> None:
    (model / "config.json").unlink()
    if content is not None:
        (model / "config.json").write_text(content)

    assert "config.json" in refusal(model, InvalidSetting, capfd)


def test_a_model_in_parts_needs_all_of_them(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Given a model in two parts, which is loaded
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = {key: f"model-0000{1 + at % 2}-of-00002.safetensors" for at, key in enumerate(weights)}
    for part in set(names.values()):
        own = {key: value for key, value in weights.items() if names[key] == part}
        save_file(own, model / part, metadata={"format": "pt"})
    (model / hf_source.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    load(model)
    # When
    (model / "model-00002-of-00002.safetensors").unlink()
    # Then
    assert "model-00002-of-00002.safetensors is missing" in refusal(model, InvalidSetting, capfd)


def test_weights_that_are_missing_are_not_made_up(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})

    said = refusal(model, BackendError, capfd)

    assert "tiny is not complete: it lacks model.layers.1.mlp.up_proj.weight" in said


def test_weights_of_another_shape_are_refused(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configured(model, intermediate_size=64)

    assert "tiny could not be loaded" in refusal(model, BackendError, capfd)


def test_a_file_that_is_cut_off_is_refused(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = model / "model.safetensors"
    os.truncate(path, path.stat().st_size // 2)

    assert "tiny could not be loaded" in refusal(model, BackendError, capfd)


def test_a_broken_tokenizer_is_refused(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (model / "tokenizer.json").write_text("{}")

    assert "The tokenizer of tiny could not be loaded" in refusal(model, BackendError, capfd)


def test_a_template_that_reaches_out_is_stopped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    model = tiny_safetensors.write(tmp_path / "escape", chat_template=escape)

    assert "chat template was stopped" in refusal(model, BackendError, capfd)


def test_a_model_that_is_quantised_already_cannot_be_quantised_again(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configured(model, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})

    said = refusal(model, InvalidSetting, capfd, quantization="nf4")

    assert "tiny is quantised already; leave quantization out" in said


def test_a_worker_without_a_model_is_told_what_to_set() -> None:
    for name, said in ((None, "it has no model"), ("a.gguf", "a.gguf is a GGUF file")):
        settings = load_settings(env={}, instances=[{"name": "a", "backend": "hf", "model": name}])
        with pytest.raises(InvalidSetting, match=said) as caught:
            create(settings.instances[0], settings)
        assert is_one_sentence(caught.value)
        assert "APEX_LLM_MODEL_ID" in str(caught.value)


def test_the_settings_model_serves_instances_that_name_none(model: Path) -> None:
    settings = load_settings(
        env={
            "APEX_HF_MODEL_ID": str(model),
            "APEX_LLM_BACKEND": "hf_cuda",
            "APEX_LLM_INSTANCES": "2",
        }
    )

    assert hf_source.source_of(settings.instances[1], settings) == str(model)


# ---- Libraries


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
    monkeypatch: pytest.MonkeyPatch, model: Path, missing: str, options: dict[str, Any]
) -> None:
    def find(name: str) -> object:
        return None if name == missing else name

    monkeypatch.setattr("workers.backends.hf.backend.find_spec", find)
    monkeypatch.setattr("workers.backends.hf.load.find_spec", find)
    if "adapters" in options:
        options = {"adapters": [str(model)]}

    with pytest.raises(BackendMissing, match=r"pip install 'apexq\[hf\]'"):
        load(model, **options)


# ---- Memory


def test_a_model_that_is_too_large_for_memory_is_refused_with_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "available_bytes", lambda: 1_000_000)

    said = refusal(model, InvalidSetting, capfd)

    assert "tiny needs 0.0 GB (weights 0.0 + 4096 tokens of context 0.0)" in said


def test_quantised_weights_count_as_what_they_will_be(model: Path) -> None:
    full, packed = hf_config.read(model), hf_config.read(model, quantization="nf4")

    assert full is not None
    assert packed is not None
    assert full.weight_bytes == (model / "model.safetensors").stat().st_size
    assert full.weight_bytes / 8 < packed.weight_bytes < full.weight_bytes / 2


# ---- Adapters


def lora(
    folder: Path, *, rows: int = tiny_safetensors.WIDTH, layers: int = tiny_safetensors.LAYERS
) -> Path:
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
        weights[f"{name}_B.weight"] = random.normal(size=(tiny_safetensors.WIDTH, 2)).astype(
            np.float32
        )
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def test_an_adapter_changes_what_the_model_says(
    model: Path, tmp_path: Path, said_by: Callable[..., str]
) -> None:
    pytest.importorskip("peft")
    one, other = lora(tmp_path / "one"), lora(tmp_path / "other")

    plain = said_by(model)
    adapted = said_by(model, adapters=[str(one)])

    assert adapted != plain
    assert said_by(model, adapters=[str(one)]) == adapted
    assert said_by(model, adapters=[str(one), str(other)]) not in (plain, adapted)


def test_an_adapter_works_on_quantised_weights(
    model: Path, tmp_path: Path, said_by: Callable[..., str]
) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    options = {"quantization": "nf4"}

    adapted = said_by(model, adapters=[str(lora(tmp_path / "one"))], **options)

    assert adapted != said_by(model, **options)


@pytest.fixture
def said_by() -> Callable[..., str]:
    from tests.contract.test_hf import answer, asked, prepared, text_of

    def said(model: Path, **options: Any) -> str:
        backend = prepared(model, **options)
        backend.load()
        text = text_of(answer(backend, asked()))
        backend.close()
        return text

    return said


def test_an_adapter_that_cannot_be_used_is_refused(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    pickled, wide = lora(tmp_path / "pickled"), lora(tmp_path / "wide", rows=7)
    deep, flat = lora(tmp_path / "deep", layers=3), lora(tmp_path / "flat", layers=1)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")

    said = refusal(model, InvalidSetting, capfd, adapters=[str(pickled)])
    assert "no adapter that can be loaded: it has no adapter_model.safetensors" in said
    said = refusal(model, BackendError, capfd, adapters=[str(wide)])
    assert "The adapter wide could not be loaded" in said
    for other in (deep, flat):
        said = refusal(model, BackendError, capfd, adapters=[str(other)])
        assert f"The adapter {other.name} is not for this model" in said
    said = refusal(model, InvalidSetting, capfd, adapters=["./nowhere"])
    assert "There is no folder ./nowhere" in said
    (deep / "adapter_config.json").rename(model / "adapter_config.json")
    said = refusal(model, InvalidSetting, capfd)
    assert "tiny has a LoRA adapter in it: name its base model" in said
