"""Models in Hugging Face's format on vLLM's engine, in the process. See docs/backends/vllm.md."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from budgets import hf_config
from ledger.errors import BackendMissing
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Say, unsaid
from workers.backends.local.backend import OPTIONS, LocalBackend
from workers.backends.local.folder import config_of, fetch, name_of, source_of
from workers.backends.options import parse
from workers.backends.vllm_engine.options import VllmEngineOptions

if TYPE_CHECKING:
    from workers.backends.vllm_engine.model import VllmModel


class VllmEngineBackend(LocalBackend["VllmModel"]):
    """One model of vLLM's engine."""

    options = OPTIONS | {"response_format"}
    anew_with = frozenset({"response_format"})  # its grammar begins anew

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: vLLM is not installed.
        """
        if find_spec("vllm") is None:
            raise BackendMissing(backend="vllm_engine", extra="vllm")
        super().__init__(spec, settings)
        self._options = parse(spec, VllmEngineOptions)
        self._source = source_of(spec, settings)

    def load(self, say: Say = unsaid) -> None:
        """Finds or downloads the folder, and loads it; vLLM itself looks whether it fits.

        Raises:
            InvalidSetting: there is no such folder, or it has no model in it.
            BackendError: it could not be downloaded or loaded, or its chat template is broken.
        """
        folder = fetch(self._source, say)
        self._bound_window(name_of(folder), hf_config.trained_ctx(config_of(folder)))

        from workers.backends.vllm_engine.model import VllmModel

        say(f"loading {name_of(folder)}")
        self._model = VllmModel(folder, self._options, self._settings, window=self._window)
