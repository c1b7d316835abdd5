"""Folders that cannot be loaded, or may not: each refusal is one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from safetensors.numpy import load_file, save_file

from ledger.errors import BackendError, InvalidSetting
from ledger.settings import load_settings
from tests.contract.local.conftest import Refusal, Start
from tests.support import tiny_safetensors
from tests.support.local_models import Library
from tests.support.sentences import is_one_sentence
from workers.backends import create
from workers.backends.local import folder as hf_source


@pytest.fixture
def model(library: Library, tmp_path: Path) -> Path:
    """One of the test's own, since it is damaged."""
    return library.write(tmp_path)


def configured(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_folder_that_is_not_there_is_refused(refusal: Refusal) -> None:
    assert "There is no folder ./nowhere" in refusal("./nowhere", InvalidSetting)


def test_a_file_is_no_folder(model: Path, refusal: Refusal) -> None:
    said = refusal(model / "config.json", InvalidSetting)

    assert "is a file; name the folder" in said


def test_pickled_weights_are_never_loaded(model: Path, refusal: Refusal, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    assert "has no weights in safetensors." in refusal(model, InvalidSetting)

    (model / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "ran"))
    said = refusal(model, InvalidSetting)

    assert "pytorch_model.bin may hold code (pickle) and is never loaded" in said
    assert not (tmp_path / "ran").exists()


def test_code_of_a_model_is_never_run(model: Path, refusal: Refusal, tmp_path: Path) -> None:
    (model / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    configured(
        model,
        model_type="own",
        auto_map={
            "AutoConfig": "modeling_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        },
    )

    said = refusal(model, InvalidSetting)

    assert "needs code of its own (trust_remote_code), which hf never runs" in said
    assert not (tmp_path / "ran").exists()


def test_code_beside_a_known_kind_of_model_is_passed_over(
    model: Path, tmp_path: Path, start: Start
) -> None:
    (model / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    configured(model, auto_map={"AutoModelForCausalLM": "modeling_own.OwnModel"})

    start()

    assert not (tmp_path / "ran").exists()


def test_a_kind_of_model_that_the_library_does_not_know_is_refused(
    model: Path, refusal: Refusal
) -> None:
    configured(model, model_type="tomorrow")

    assert "kind 'tomorrow', which transformers" in refusal(model, InvalidSetting)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_config_that_cannot_be_read_is_refused(
    model: Path, refusal: Refusal, content: str | None
) -> None:
    (model / "config.json").unlink()
    if content is not None:
        (model / "config.json").write_text(content)

    assert "config.json" in refusal(model, InvalidSetting)


def test_a_config_with_a_name_that_the_library_does_not_know_is_refused(
    model: Path, refusal: Refusal
) -> None:
    configured(model, hidden_act="nonsense")

    said = refusal(model, BackendError)

    assert said == "tiny could not be loaded: KeyError 'nonsense'."


def test_a_model_in_parts_needs_all_of_them(model: Path, start: Start, refusal: Refusal) -> None:
    # Given a model in two parts, which is loaded
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = {key: f"model-0000{1 + at % 2}-of-00002.safetensors" for at, key in enumerate(weights)}
    for part in set(names.values()):
        own = {key: value for key, value in weights.items() if names[key] == part}
        save_file(own, model / part, metadata={"format": "pt"})
    (model / hf_source.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    start()
    # When
    (model / "model-00002-of-00002.safetensors").unlink()
    # Then
    assert "model-00002-of-00002.safetensors is missing" in refusal(model, InvalidSetting)


def test_weights_that_are_missing_are_not_made_up(model: Path, refusal: Refusal) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})

    said = refusal(model, BackendError)

    assert "tiny is not complete: it lacks model.layers.1.mlp.up_proj.weight" in said


def test_weights_of_another_shape_are_refused(model: Path, refusal: Refusal) -> None:
    configured(model, intermediate_size=64)

    said = refusal(model, BackendError)

    assert "tiny does not fit its config.json: model.layers.0.mlp.down_proj.weight has" in said
    assert "the shape [128, 256], not [128, 64]." in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate …\nSee …"), "out of memory"),
        (ValueError("blocks of 64 do not fit"), "blocks of 64 do not fit"),
    ],
)
def test_a_weight_that_cannot_be_quantised_is_told_with_its_cause(
    model: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")

    def fails(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(bitsandbytes.nn.Params4bit, "to", fails)

    assert refusal(model, BackendError, quantization="nf4") == f"tiny could not be loaded: {said}."


def test_a_file_that_is_cut_off_is_refused(model: Path, refusal: Refusal) -> None:
    path = model / "model.safetensors"
    os.truncate(path, path.stat().st_size // 2)

    assert "tiny could not be loaded" in refusal(model, BackendError)


def test_a_broken_tokenizer_is_refused(model: Path, refusal: Refusal) -> None:
    (model / "tokenizer.json").write_text("{}")

    assert "The tokenizer of tiny could not be loaded" in refusal(model, BackendError)


def test_a_folder_without_a_tokenizer_is_refused(model: Path, refusal: Refusal) -> None:
    (model / "tokenizer.json").unlink()

    said = refusal(model, InvalidSetting)

    assert said == f"{model} has no tokenizer; add the model's tokenizer.json."


def test_a_template_that_reaches_out_is_stopped(tmp_path: Path, refusal: Refusal) -> None:
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    model = tiny_safetensors.write(tmp_path / "escape", chat_template=escape)

    assert "chat template was stopped" in refusal(model, BackendError)


def test_a_model_that_is_quantised_already_cannot_be_quantised_again(
    model: Path, refusal: Refusal
) -> None:
    configured(model, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})

    said = refusal(model, InvalidSetting, quantization="nf4")

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
