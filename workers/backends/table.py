"""Backends by name. A backend's module, and with it the model's library, is imported on demand."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from ledger.errors import BackendMissing, InvalidSetting, UnknownBackend
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Backend

BUILT_IN = {
    "mock": "workers.backends.mock:MockBackend",
    "llama_cpp": "workers.backends.llama.backend:LlamaCppBackend",
    "hf": "workers.backends.hf.backend:HfBackend",
    "mlx": "workers.backends.mlx.backend:MlxBackend",
    "ollama": "workers.backends.ollama.backend:OllamaBackend",
    "anthropic": "workers.backends.anthropic.backend:AnthropicBackend",
    "openai": "workers.backends.openai.backend:OpenAIBackend",
    "lmstudio": "workers.backends.openai.lmstudio:LMStudioBackend",
    "vllm": "workers.backends.openai.vllm:VllmBackend",
    "vllm_engine": "workers.backends.vllm_engine.backend:VllmEngineBackend",
    "remote": "workers.backends.remote:remote",
}
EXTRAS: dict[str, str] = {"llama_cpp": "llama"}  # backend -> the extra that brings its library


def known() -> dict[str, str]:
    """Name -> ``module:Class`` of every backend, third parties' included."""
    others = {point.name: point.value for point in entry_points(group="apexq.backends")}
    return others | BUILT_IN


def create(spec: InstanceSpec, settings: Settings) -> Backend:
    """The backend of an instance, not loaded yet; it is given its spec and all settings.

    Raises:
        UnknownBackend: there is none of that name.
        BackendMissing: its library is not installed.
        InvalidSetting: an option of the instance is unknown to it or has a bad value, or the
            instance has more slots than it can serve.
    """
    table = known()
    if spec.backend not in table:
        near = difflib.get_close_matches(spec.backend, table, 1)
        hint = f"{', '.join(sorted(table))}" + (f" (did you mean {near[0]}?)" if near else "")
        raise UnknownBackend(backend=spec.backend, known=hint)
    module, _, name = table[spec.backend].partition(":")
    try:
        factory = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise _missing(spec.backend, error) from error
    backend = cast(Backend, factory(spec, settings))
    _refuse_too_many_slots(spec, backend.abilities.slots)
    return backend


def _missing(backend: str, error: ModuleNotFoundError) -> BackendMissing:
    if backend in BUILT_IN:
        return BackendMissing(backend=backend, extra=EXTRAS.get(backend, backend))
    return BackendMissing(
        f"The backend {backend} cannot be imported ({error}); install what its package needs.",
        backend=backend,
    )


def _refuse_too_many_slots(spec: InstanceSpec, most: int) -> None:
    if 0 < most < spec.slots:
        at_once = "one job at a time" if most == 1 else f"{most} jobs at a time"
        raise InvalidSetting(
            f"{spec.name} has {spec.slots} slots and {spec.backend} serves {at_once}; "
            "lower slots or leave it out, and start more instances."
        )
