"""Models in Hugging Face's format on transformers, in the process. See docs/backends/hf.md."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from budgets import hf_config
from ledger.errors import BackendMissing, InvalidSetting
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Say, unsaid
from workers.backends.hf.options import HfOptions
from workers.backends.local.backend import OPTIONS, LocalBackend
from workers.backends.local.folder import config_of, fetch, name_of, source_of
from workers.backends.options import parse

if TYPE_CHECKING:
    from workers.backends.hf.model import HfModel
    from workers.backends.local.answer import Counters


class HfBackend(LocalBackend["HfModel"]):
    """One model of transformers."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: torch or transformers is not installed.
        """
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise BackendMissing(backend="hf", extra="hf")
        super().__init__(spec, settings)
        self._options = parse(spec, HfOptions)
        self._source = source_of(spec, settings)
        if find_spec("llguidance") is not None:
            self.options = OPTIONS | {"response_format"}

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
        folder = fetch(self._source, say)
        config = config_of(folder)
        if self._options.quantization and "quantization_config" in config:
            raise InvalidSetting(f"{name_of(folder)} is quantised already; leave quantization out.")
        self._bound_window(name_of(folder), hf_config.trained_ctx(config))
        adapters = [
            fetch(one, say, named_by="adapters in its table") for one in self._options.adapters
        ]

        _take_no_code_from_the_hub()
        from workers.backends.hf.model import HfModel

        self._model = HfModel(
            folder,
            config,
            self._spec,
            self._options,
            self._settings,
            window=self._window,
            adapters=adapters,
            say=say,
        )


def _take_no_code_from_the_hub() -> None:
    """transformers and bitsandbytes fetch compiled code if the package ``kernels`` is installed."""
    os.environ["USE_HUB_KERNELS"] = "0"
    sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]  # cannot be imported then
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it laments that, and casts
