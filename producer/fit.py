"""Whether the instances of the settings fit into this machine: finds the facts, reads the files."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from importlib.util import find_spec
from pathlib import Path

from budgets import gguf, gguf_files, hf_config, machine
from budgets.fit import (
    BATCH,
    PROCESS_BYTES,
    TORCH_PROCESS_BYTES,
    Fit,
    Group,
    Model,
    Need,
    need_of,
)
from ledger.settings import InstanceSpec, Settings

# The others ask a server or have no model, but for vLLM's engine, which takes the share of the GPU
# that its options say, and looks for itself whether the model fits there.
IN_PROCESS = ("llama_cpp", "hf", "mlx")
RAM, VRAM, UNIFIED = "RAM", "VRAM", "the memory that CPU and GPU share"


def fits_of(settings: Settings, *, up: Collection[str] = ()) -> list[Fit]:
    """What the instances need, and what is there for them; one for each kind of memory.

    Args:
        settings: which instances.
        up: names of those that run already; their memory is taken, so they are left out.

    Raises:
        InvalidSetting: a GGUF file is none, is cut off, or is too new.
    """
    specs = [spec for spec in settings.instances if spec.name not in up]
    places: dict[str, list[Group]] = {}
    for like in _alike(spec for spec in specs if spec.backend in IN_PROCESS):
        place = _place_of(like[0])
        need, why = _need_of(like[0], settings, on_gpu=place != RAM)
        places.setdefault(place, []).append(Group(len(like), _label(like[0], settings), need, why))
    return [Fit(place, _available(place), groups) for place, groups in places.items()]


def _alike(specs: Iterable[InstanceSpec]) -> list[list[InstanceSpec]]:
    found: dict[str, list[InstanceSpec]] = {}
    for spec in specs:
        found.setdefault(f"{spec.backend} {spec.model} {spec.options}", []).append(spec)
    return list(found.values())


def _place_of(spec: InstanceSpec) -> str:
    if spec.options.get("device") == "cpu":
        return RAM
    if sys.platform == "darwin":
        return RAM if _layers_on_gpu(spec) == 0 else UNIFIED
    if spec.backend == "llama_cpp":
        return VRAM if _layers_on_gpu(spec) != 0 and _llama_is_built_for_cuda() else RAM
    return VRAM if machine.gpu_bytes() is not None else RAM


def _layers_on_gpu(spec: InstanceSpec) -> object:
    return spec.options.get("n_gpu_layers", -1)


def _llama_is_built_for_cuda() -> bool:
    """Looks for the library's file: importing it would load it."""
    spec = find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return False
    return any(Path(spec.origin).parent.glob("lib/*ggml-cuda*"))


def _available(place: str) -> int | None:
    if place == VRAM:
        return machine.gpu_bytes()
    return machine.available_bytes(on_gpu=place == UNIFIED)


def _need_of(spec: InstanceSpec, settings: Settings, *, on_gpu: bool) -> tuple[Need | None, str]:
    """What an instance takes; or None, and why that is not known."""
    if spec.backend == "llama_cpp":
        return _llama_need(spec, settings, on_gpu=on_gpu)
    folder = Path(spec.model or "").expanduser()
    model = hf_config.read(folder, quantization=_quantization_of(spec, on_gpu=on_gpu))
    if model is None:
        return None, "the model is no local folder with config.json and weights"
    process = TORCH_PROCESS_BYTES if spec.backend == "hf" else PROCESS_BYTES
    ctx_tokens = _bounded(settings.ctx_tokens, hf_config.trained_ctx_in(folder))
    return _with_context(model, ctx_tokens, on_gpu=on_gpu, process_bytes=process), ""


def _quantization_of(spec: InstanceSpec, *, on_gpu: bool) -> str:
    """What is done to the weights in loading; by hf alone."""
    if spec.backend != "hf":
        return "none"
    on_cuda = on_gpu and sys.platform != "darwin"
    return str(spec.options.get("quantization") or ("nf4" if on_cuda else "none"))


def _llama_need(spec: InstanceSpec, settings: Settings, *, on_gpu: bool) -> tuple[Need | None, str]:
    source = gguf_files.named_for(spec, settings)
    if source is None:
        return None, "no GGUF file is named"
    path = gguf_files.local_path(source)
    if path is None:
        return None, "the file is not on this machine yet"
    header = gguf.read(path)
    ctx_tokens = _bounded(settings.ctx_tokens, header.trained_ctx)
    batch, flash = spec.options.get("n_batch"), spec.options.get("flash_attn")
    need = _with_context(
        header.model(gguf_files.size_of(path)),
        ctx_tokens,
        on_gpu=on_gpu,
        flash_attention=on_gpu if flash is None else bool(flash),
        batch=batch if isinstance(batch, int) and batch > 0 else BATCH,
    )
    return need, ""


def _bounded(wanted: int, trained: int | None) -> int:
    """Tokens of context that a backend loads a model with."""
    return min(wanted, trained or wanted)


def _with_context(
    model: Model,
    ctx_tokens: int,
    *,
    on_gpu: bool,
    flash_attention: bool = True,
    batch: int = BATCH,
    process_bytes: int = PROCESS_BYTES,
) -> Need:
    return need_of(
        model,
        ctx_tokens,
        on_cuda=on_gpu and sys.platform != "darwin",
        flash_attention=flash_attention,
        batch=batch,
        process_bytes=process_bytes,
    )


def _label(spec: InstanceSpec, settings: Settings) -> str:
    if spec.backend == "llama_cpp":
        return Path(gguf_files.named_for(spec, settings) or spec.backend).name
    return spec.model or spec.backend
