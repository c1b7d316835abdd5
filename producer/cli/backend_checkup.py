"""What ``apexq doctor`` looks at of the backends: whether they exist, and have their libraries."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec

from ledger.instance_spec import BACKENDS
from ledger.settings import InstanceSpec, Settings
from producer.cli.check import Check

# The extra that brings a backend's libraries, and these; as the backend itself looks for them.
LIBRARIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "anthropic": ("anthropic", ("anthropic",)),
    "hf": ("hf", ("torch", "transformers")),
    "llama_cpp": ("llama", ("llama_cpp",)),
    "lmstudio": ("openai", ("openai",)),
    "mlx": ("mlx", ("mlx", "mlx_lm")),
    "ollama": ("ollama", ("ollama",)),
    "openai": ("openai", ("openai",)),
    "vllm": ("openai", ("openai",)),
    "vllm_engine": ("vllm", ("vllm",)),
}


def check_backends(settings: Settings) -> Check:
    """Whether each instance's backend is one, and could start on this machine.

    A missing library is a warning: the instances may run elsewhere.
    """
    used = {spec.backend: spec for spec in settings.instances}
    unknown = list(_unknown(used))
    if unknown:
        known = f"name one of {', '.join(BACKENDS)}"
        return Check("backends", "fail", "; ".join(unknown), known)
    missing = {
        LIBRARIES[backend][0]: backend
        for backend in used
        if backend in LIBRARIES and not all(map(find_spec, LIBRARIES[backend][1]))
    }
    if missing:
        found = f"{', '.join(missing.values())}: the library is not installed here"
        todo = f"pip install 'apexq[{','.join(missing)}]' where the instances run"
        return Check("backends", "warn", found, todo)
    return Check("backends", "ok", ", ".join(used))


def _unknown(used: dict[str, InstanceSpec]) -> Iterator[str]:
    known = {*BACKENDS, *(point.name for point in entry_points(group="apexq.backends"))}
    for backend, spec in used.items():
        if backend not in known:
            yield f"{spec.name}: there is no backend {backend!r}"
