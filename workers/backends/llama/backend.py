"""Models in GGUF files on llama.cpp, in the process: CPU, Metal, CUDA. See docs/backends.md.

The library is first imported where the model is loaded, in the worker's child: nothing of a GPU may
be touched before the fork.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from budgets import gguf, gguf_files, machine
from ledger.errors import BackendError, BackendMissing
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.llama import options as llama_options
from workers.backends.llama import source as llama_source
from workers.backends.local import memory

if TYPE_CHECKING:
    from workers.backends.llama.model import LlamaModel
    from workers.backends.local.answer import Counters

log = logging.getLogger(__name__)

OPTIONS = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "logit_bias",
        "logprobs",
        "response_format",
    }
)


class LlamaCppBackend:
    """One model in this process, one job at a time."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: llama-cpp-python is not installed.
        """
        if find_spec("llama_cpp") is None:
            raise BackendMissing(backend="llama_cpp", extra="llama")
        self._settings = settings
        self._options = llama_options.parse(spec)
        self._source = llama_source.source_of(spec, settings)
        self._window = settings.ctx_tokens
        self._model: LlamaModel | None = None

    @property
    def abilities(self) -> Abilities:
        """It continues; the window is the setting's, or the model's where that is smaller."""
        return Abilities(continues=True, options=OPTIONS, window=self._window)

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
        path = llama_source.fetch(self._source, say)
        header = gguf.read(path)
        wanted = self._settings.ctx_tokens
        self._window = min(wanted, header.trained_ctx or wanted)
        if self._window < wanted:
            log.warning("%s has %d tokens of context, not %d.", path.name, self._window, wanted)

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
            n_threads=llama_options.threads(self._options, self._settings),
        )

    def count_tokens(self, request: Request) -> int:
        """Prompt tokens that the model will read, by its own tokenizer on the rendered text.

        Raises:
            InvalidRequest: the model's chat template refuses the messages.
        """
        return len(self._loaded.prompt(request))

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields whole characters, at the ends of tokens; looks at ``run.stop`` between tokens.

        Raises:
            InvalidRequest: ``logit_bias`` or ``response_format`` cannot be used.
            ContextTooLong: the prompt leaves no room for an answer.
        """
        return self._loaded.stream(run)

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """Erases contexts in the KV cache and beside it."""
        if self._model is not None:
            self._model.forget(tenant, session_id)

    def health(self) -> str:
        """Whether the model is loaded."""
        return "" if self._model is not None else "The model is not loaded."

    def close(self) -> None:
        """Gives the model's memory back."""
        if self._model is not None:
            self._model.close()
        self._model = None

    @property
    def _loaded(self) -> LlamaModel:
        if self._model is None:
            raise BackendError(self.health(), backend="llama_cpp", retriable=False)
        return self._model
