"""Models in Hugging Face's format on MLX, in the process: Apple's GPUs, and CPUs. See
docs/backends/mlx.md.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from budgets import hf_config, machine
from ledger.errors import BackendMissing
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Say, unsaid
from workers.backends.local import memory
from workers.backends.local.backend import LocalBackend
from workers.backends.local.folder import config_of, fetch, name_of, source_of
from workers.backends.mlx.options import MlxOptions
from workers.backends.options import parse

if TYPE_CHECKING:
    from workers.backends.local.answer import Counters
    from workers.backends.mlx.model import MlxModel


class MlxBackend(LocalBackend["MlxModel"]):
    """One model of MLX."""

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Reads the options; nothing is loaded.

        Raises:
            InvalidSetting: an option is unknown or has a bad value, or no model is named.
            BackendMissing: mlx-lm is not installed, or MLX itself is not.
        """
        if find_spec("mlx_lm") is None or find_spec("mlx") is None:
            raise BackendMissing(backend="mlx", extra="mlx")
        super().__init__(spec, settings)
        self._options = parse(spec, MlxOptions)
        self._source = source_of(spec, settings)

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
        folder = fetch(self._source, say)
        self._bound_window(name_of(folder), hf_config.trained_ctx(config_of(folder)))

        from workers.backends.mlx.model import MlxModel, on_gpu

        needs = hf_config.read(folder)
        if self._settings.memory_check and needs is not None:
            memory.refuse_if_too_large(
                name_of(folder),
                weight_bytes=needs.weight_bytes,
                kv_bytes_per_token=needs.kv_bytes_per_token,
                ctx_tokens=self._window,
                available=machine.available_bytes(on_gpu=on_gpu()),
            )
        self._model = MlxModel(folder, self._options, self._settings, window=self._window)
