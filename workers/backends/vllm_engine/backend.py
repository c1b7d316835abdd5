"""Models in Hugging Face's format on vLLM's engine, in the process. See docs/backends.md.

The library is first imported where the model is loaded, in the worker's child: nothing of a GPU may
be touched before it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from budgets import hf_config
from ledger.errors import BackendError, BackendMissing
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends import options
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.local import folder as hf_source
from workers.backends.vllm_engine.options import VllmEngineOptions

if TYPE_CHECKING:
    from workers.backends.vllm_engine.model import VllmModel

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


class VllmEngineBackend:
    """One model in this process, one job at a time."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: vLLM is not installed.
        """
        if find_spec("vllm") is None:
            raise BackendMissing(backend="vllm_engine", extra="vllm")
        self._settings = settings
        self._options = options.parse(spec, VllmEngineOptions)
        self._source = hf_source.source_of(spec, settings)
        self._window = settings.ctx_tokens
        self._model: VllmModel | None = None

    @property
    def abilities(self) -> Abilities:
        """It continues, but not within a format: its grammar begins anew."""
        return Abilities(
            continues=True,
            options=OPTIONS,
            window=self._window,
            anew_with=frozenset({"response_format"}),
        )

    def load(self, say: Say = unsaid) -> None:
        """Finds or downloads the folder, and loads it; vLLM itself looks whether it fits.

        Raises:
            InvalidSetting: there is no such folder, or it has no model in it.
            BackendError: it could not be downloaded or loaded, or its chat template is broken.
        """
        folder = hf_source.fetch(self._source, say)
        trained = hf_config.trained_ctx(hf_source.config_of(folder))
        wanted = self._settings.ctx_tokens
        self._window = min(wanted, trained or wanted)
        if self._window < wanted:
            log.warning("%s has %d tokens of context, not %d.", folder.name, self._window, wanted)

        from workers.backends.vllm_engine.model import VllmModel

        say(f"loading {folder.name}")
        self._model = VllmModel(folder, self._options, self._settings, window=self._window)

    def count_tokens(self, request: Request) -> int:
        """Prompt tokens that the model will read, by its own tokenizer on the rendered text.

        Raises:
            InvalidRequest: the model's chat template refuses the messages.
        """
        return len(self._loaded.prompt(request))

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields whole characters, at the ends of tokens; looks at ``run.stop`` between steps.

        Raises:
            InvalidRequest: ``logit_bias`` or ``response_format`` cannot be used.
            ContextTooLong: the prompt leaves no room for an answer.
        """
        return self._loaded.stream(run)

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """Empties the prefix cache, whosever it is."""
        if self._model is not None:
            self._model.forget()

    def health(self) -> str:
        """Whether the model is loaded."""
        return "" if self._model is not None else "The model is not loaded."

    def close(self) -> None:
        """Gives the model's memory back."""
        if self._model is not None:
            self._model.close()
        self._model = None

    @property
    def _loaded(self) -> VllmModel:
        if self._model is None:
            raise BackendError(self.health(), backend="vllm_engine", retriable=False)
        return self._model
