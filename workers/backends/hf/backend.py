"""Models in Hugging Face's format on transformers, in the process: CUDA, CPU. See docs/backends.md.

The libraries are first imported where the model is loaded, in the worker's child: nothing of a GPU
may be touched before the fork.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ledger.errors import BackendError, BackendMissing, InvalidSetting
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.hf.options import HfOptions
from workers.backends.local import folder as hf_source
from workers.backends.options import parse

if TYPE_CHECKING:
    from workers.backends.hf.model import HfModel
    from workers.backends.local.answer import Counters

OPTIONS = frozenset({"temperature", "top_p", "top_k", "stop", "seed", "logit_bias", "logprobs"})


class HfBackend:
    """One model in this process, one job at a time."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: torch or transformers is not installed.
        """
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise BackendMissing(backend="hf", extra="hf")
        self._spec, self._settings = spec, settings
        self._options = parse(spec, HfOptions)
        self._source = hf_source.source_of(spec, settings)
        self._window = settings.ctx_tokens
        self._model: HfModel | None = None

    @property
    def abilities(self) -> Abilities:
        """It continues; the window is the setting's, or the model's where that is smaller."""
        held = {"response_format"} if find_spec("llguidance") else set()
        return Abilities(continues=True, options=OPTIONS | held, window=self._window)

    @property
    def counters(self) -> Counters:
        """Tokens of context that the latest run read, and that it found in the KV cache."""
        return self._loaded.counters

    def load(self, say: Say = unsaid) -> None:
        """Finds or downloads the files, looks whether they fit, loads them, tries the template.

        Raises:
            InvalidSetting: there is no such folder, it may not be loaded, or it does not fit.
            BackendMissing: bitsandbytes or peft is needed and not installed.
            BackendError: it could not be downloaded or loaded, or its chat template is broken.
        """
        folder = hf_source.fetch(self._source, say)
        config = hf_source.config_of(folder)
        if self._options.quantization and "quantization_config" in config:
            raise InvalidSetting(f"{folder.name} is quantised already; leave quantization out.")
        adapters = [hf_source.fetch(one, say) for one in self._options.adapters]

        _take_no_code_from_the_hub()
        from workers.backends.hf.model import HfModel

        self._model = HfModel(
            folder,
            config,
            self._spec,
            self._options,
            self._settings,
            adapters=adapters,
            say=say,
        )
        self._window = self._model.window

    def count_tokens(self, request: Request) -> int:
        """Prompt tokens that the model will read, by its own tokenizer on the rendered text.

        Raises:
            InvalidRequest: the model's chat template refuses the messages.
        """
        return len(self._loaded.prompt(request))

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields whole characters, at the ends of tokens; looks at ``run.stop`` between tokens, and
        between the layers while it reads a prompt.

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
    def _loaded(self) -> HfModel:
        if self._model is None:
            raise BackendError(self.health(), backend="hf", retriable=False)
        return self._model


def _take_no_code_from_the_hub() -> None:
    """transformers and bitsandbytes fetch compiled code if the package ``kernels`` is installed."""
    os.environ["USE_HUB_KERNELS"] = "0"
    sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]  # cannot be imported then
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it laments that, and casts
