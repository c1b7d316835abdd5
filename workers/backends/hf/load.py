"""Loads a model, its tokenizer and its adapters by transformers, bitsandbytes and peft.

Nothing that comes with a model is run: no code of a repository, no pickle, no kernel from the hub.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ledger.errors import ApexError, BackendMissing, InvalidSetting
from workers.backends.base import Say
from workers.backends.hf.engine import failed, why
from workers.backends.hf.options import Quantization
from workers.backends.hf.report import with_its_cause
from workers.backends.local.folder import name_of

SAFE = {"trust_remote_code": False, "local_files_only": True}


def load_tokenizer(folder: Path) -> Any:
    """The model's own tokenizer.

    Raises:
        BackendError: it cannot be loaded.
    """
    with _told(f"The tokenizer of {name_of(folder)}"):
        return AutoTokenizer.from_pretrained(folder, **SAFE)


def load_model(
    folder: Path,
    config: dict[str, Any],
    *,
    quantization: Quantization,
    dtype: torch.dtype,
    device: torch.device,
    say: Say,
) -> Any:
    """The model, on its device, ready to answer.

    Args:
        folder: its files.
        config: what its ``config.json`` says.
        quantization: of its matrices; without effect where the model brings its own.
        dtype: what is computed in.
        device: where it goes to.
        say: is told what is going on.

    Raises:
        InvalidSetting: it needs code of its own, or is quantised in another way than asked.
        BackendMissing: bitsandbytes is not installed.
        BackendError: it could not be loaded.
    """
    name = name_of(folder)
    _require_known(name, folder, config)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    say(f"loading {name} on {device}")
    with _told(name), with_its_cause():
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            config=AutoConfig.from_pretrained(folder, **SAFE),
            use_safetensors=True,
            dtype=dtype,
            device_map={"": device},
            quantization_config=_quantizer(config, quantization, dtype),
            ignore_mismatched_sizes=True,  # so that it says which; see below
            output_loading_info=True,
            **SAFE,
        )
    # Either way the library would make weights up.
    if found["mismatched_keys"]:
        key, stored, wanted = min(found["mismatched_keys"])
        raise failed(
            f"{name} does not fit its config.json: {key} has the shape {list(stored)}, "
            f"not {list(wanted)}."
        )
    if found["missing_keys"]:
        raise failed(f"{name} is not complete: it lacks {min(found['missing_keys'])}.")
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what loading took, for the other instances on this GPU
    return model.eval()


def add_adapters(model: Any, folders: Sequence[Path]) -> None:
    """LoRA adapters, all of them at work at once.

    Raises:
        InvalidSetting: one has no weights in safetensors.
        BackendMissing: peft is not installed.
        BackendError: one does not fit the model.
    """
    if not folders:
        return
    if find_spec("peft") is None:
        raise BackendMissing(backend="hf", extra="hf")
    names = []
    for number, folder in enumerate(folders):
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if not (folder / name).is_file():
                raise InvalidSetting(
                    f"{folder} is no adapter that can be loaded: it has no {name}."
                )
        own, what = f"adapter{number}", f"The adapter {name_of(folder)}"
        names.append(own)
        with _told(what), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are several
            found = model.load_adapter(
                str(folder),
                adapter_name=own,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # so that it says which; see below
                adapter_kwargs={"local_files_only": True},
            )
        if found.mismatched_keys:
            key, stored, wanted = min(found.mismatched_keys)
            raise failed(
                f"{what} is not for this model: {key} has the shape {list(stored)}, "
                f"not {list(wanted)}."
            )
        unused = {key for key in found.missing_keys if f".{own}." in key} | found.unexpected_keys
        if unused:
            raise failed(f"{what} is not for this model: {sorted(unused)[0]}.")
    model.set_adapter(names)
    model.eval()


def _require_known(name: str, folder: Path, config: dict[str, Any]) -> None:
    if (folder / "adapter_config.json").is_file():  # the library would load another base model
        raise InvalidSetting(
            f"{name} has a LoRA adapter in it: name its base model, and it under adapters."
        )
    kind = config.get("model_type")
    if kind in transformers.CONFIG_MAPPING:
        return
    if "auto_map" in config:
        raise InvalidSetting(
            f"{name} needs code of its own (trust_remote_code), which hf never runs; "
            "take a model that transformers itself knows."
        )
    raise InvalidSetting(
        f"{name} is a model of the kind {kind!r}, which transformers "
        f"{transformers.__version__} does not know; another version may."
    )


def _quantizer(
    config: dict[str, Any], quantization: Quantization, dtype: torch.dtype
) -> BitsAndBytesConfig | None:
    if quantization == "none" or "quantization_config" in config:
        return None
    if find_spec("bitsandbytes") is None:
        raise BackendMissing(backend="hf", extra="hf")
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Makes one sentence of whatever the libraries raise."""
    try:
        yield
    except ApexError:
        raise
    except Exception as error:  # noqa: BLE001  whatever the libraries raise
        raise failed(f"{what} could not be loaded: {why(error)}.") from None
