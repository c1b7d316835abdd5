"""Models in Hugging Face's format on MLX, in the process: Apple's GPUs, and CPUs. See
docs/backends.md.

The library is first imported where the model is loaded, in the worker's child: nothing of a GPU may
be touched before it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from budgets import hf_config, machine
from ledger.errors import BackendError, BackendMissing
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends import options
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.local import folder as hf_source
from workers.backends.local import memory
from workers.backends.mlx.options import MlxOptions

if TYPE_CHECKING:
    from workers.backends.local.answer import Counters
    from workers.backends.mlx.model import MlxModel

log = logging.getLogger(__name__)

OPTIONS = frozenset({"temperature", "top_p", "top_k", "stop", "seed", "logit_bias", "logprobs"})


class MlxBackend:
    """One model in this process, one job at a time."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: mlx-lm is not installed, or MLX itself is not.
        """
        if find_spec("mlx_lm") is None or find_spec("mlx") is None:
            raise BackendMissing(backend="mlx", extra="mlx")
        self._settings = settings
        self._options = options.parse(spec, MlxOptions)
        self._source = hf_source.source_of(spec, settings)
        self._window = settings.ctx_tokens
        self._model: MlxModel | None = None

    @property
    def abilities(self) -> Abilities:
        """It continues; the window is the setting's, or the model's where that is smaller."""
        return Abilities(continues=True, options=OPTIONS, window=self._window)

    @property
    def counters(self) -> Counters:
        """Tokens of context that the latest run read, and that it found in the KV cache."""
        return self._loaded.counters

    def load(self, say: Say = unsaid) -> None:
        """Finds or downloads the folder, looks whether it fits, loads it, tries its chat template.

        Raises:
            InvalidSetting: there is no such folder, it has no model in it, or it does not fit into
                memory.
            BackendError: it could not be downloaded or loaded, or its chat template is broken.
        """
        folder = hf_source.fetch(self._source, say)
        trained = hf_config.trained_ctx(hf_source.config_of(folder))
        wanted = self._settings.ctx_tokens
        self._window = min(wanted, trained or wanted)
        if self._window < wanted:
            log.warning("%s has %d tokens of context, not %d.", folder.name, self._window, wanted)

        from workers.backends.mlx.model import MlxModel, on_gpu

        needs = hf_config.read(folder)
        if self._settings.memory_check and needs is not None:
            memory.refuse_if_too_large(
                self._source,
                weight_bytes=needs.weight_bytes,
                kv_bytes_per_token=needs.kv_bytes_per_token,
                ctx_tokens=self._window,
                available=machine.available_bytes(on_gpu=on_gpu()),
            )
        self._model = MlxModel(folder, self._options, self._settings, window=self._window)

    def count_tokens(self, request: Request) -> int:
        """Prompt tokens that the model will read, by its own tokenizer on the rendered text.

        Raises:
            InvalidRequest: the model's chat template refuses the messages.
        """
        return len(self._loaded.prompt(request))

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields whole characters, at the ends of tokens; looks at ``run.stop`` between tokens, and
        between the steps of a prompt.

        Raises:
            InvalidRequest: ``logit_bias`` cannot be used.
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
    def _loaded(self) -> MlxModel:
        if self._model is None:
            raise BackendError(self.health(), backend="mlx", retriable=False)
        return self._model
