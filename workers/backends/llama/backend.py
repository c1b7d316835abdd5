"""Models in GGUF files on llama.cpp, in the process: CPU, Metal, CUDA.

See docs/backends/llama_cpp.md.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from budgets import gguf, gguf_files, machine
from ledger.errors import BackendMissing
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Say, unsaid
from workers.backends.llama.options import LlamaOptions
from workers.backends.llama.source import fetch, source_of
from workers.backends.local import memory
from workers.backends.local.backend import OPTIONS, LocalBackend
from workers.backends.local.threads import threads
from workers.backends.options import parse

if TYPE_CHECKING:
    from workers.backends.llama.model import LlamaModel
    from workers.backends.local.answer import Counters


class LlamaCppBackend(LocalBackend["LlamaModel"]):
    """One model of llama.cpp."""

    options = OPTIONS | {"response_format"}

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: llama-cpp-python is not installed.
        """
        if find_spec("llama_cpp") is None:
            raise BackendMissing(backend="llama_cpp", extra="llama")
        super().__init__(spec, settings)
        self._options = parse(spec, LlamaOptions)
        self._source = source_of(spec, settings)

    @property
    def counters(self) -> Counters:
        """Tokens of context that the latest run read, and that it found in the KV cache."""
        return self._loaded.counters

    @property
    def evaluated(self) -> int:
        """All tokens of prompts and answers that were evaluated, by llama.cpp's own count."""
        return self._loaded.evaluated

    def load(self, say: Say = unsaid) -> None:
        """Finds or downloads the file, looks whether it fits, loads it, tries its chat template.

        Raises:
            InvalidSetting: there is no such file, it is no GGUF file that can be read, or it does
                not fit into memory.
            BackendError: it could not be downloaded or loaded, or its chat template is broken.
        """
        path = fetch(self._source, say)
        header = gguf.read(path)
        self._bound_window(path.name, header.trained_ctx)

        from workers.backends.llama.engine import offloads
        from workers.backends.llama.model import LlamaModel

        if self._settings.memory_check:
            memory.refuse_if_too_large(
                path.name,
                weight_bytes=gguf_files.size_of(path),  # mapped, so instances share them
                kv_bytes_per_token=header.kv_bytes_per_token(),
                ctx_tokens=self._window,
                available=machine.available_bytes(on_gpu=offloads(self._options.n_gpu_layers)),
            )
        self._model = LlamaModel(
            path,
            self._options,
            self._settings,
            window=self._window,
            n_threads=threads(self._options.n_threads, self._spec.backend, self._settings),
        )
