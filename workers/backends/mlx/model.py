"""A loaded model with all that belongs to it; the backend imports it late."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.utils import load, maybe_set_recommended_wired_limit

from ledger.errors import BackendError
from ledger.messages import Request
from ledger.settings import Settings
from workers.backends.local.choice import Choice
from workers.backends.local.first_line import first_line
from workers.backends.local.folder import name_of
from workers.backends.local.model import LocalModel
from workers.backends.local.prompt import Prompter
from workers.backends.local.renderer import renderer
from workers.backends.mlx.engine import MlxEngine
from workers.backends.mlx.options import MlxOptions
from workers.backends.mlx.sampler import MlxSampler


def on_gpu() -> bool:
    """True where MLX computes on a GPU."""
    return bool(mx.default_device() == mx.gpu)


class MlxModel(LocalModel):
    """A model on MLX."""

    def __init__(
        self, folder: Path, options: MlxOptions, settings: Settings, *, window: int
    ) -> None:
        """Loads it.

        Raises:
            BackendError: mlx-lm could not load it, or its tokenizer or chat template cannot be
                used.
        """
        model, tokenizer = _load(folder, options.adapter)
        maybe_set_recommended_wired_limit()  # so that macOS does not move weights out meanwhile
        render = renderer(tokenizer, options.chat_format, backend="mlx")
        vocabulary = {
            "tokenizer": tokenizer,
            "ends": tokenizer.eos_token_ids,
            "templated": render is not None,
            "backend": "mlx",
        }
        self._n_vocab = int(model(mx.array([[0]])).shape[-1])
        super().__init__(
            MlxEngine(
                model, vocabulary, n_vocab=self._n_vocab, n_ctx=window, n_batch=options.n_batch
            ),
            Prompter(render),
            self._sampler,
            options,
            settings,
            backend="mlx",
            window=window,
        )

    def _sampler(self, request: Request, choice: Choice) -> AbstractContextManager[MlxSampler]:
        return nullcontext(MlxSampler(choice, self._n_vocab))


def _load(folder: Path, adapter: str | None) -> tuple[Any, Any]:
    """mlx-lm's model and tokenizer. Code that comes with a model is never run."""
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it misses torch, which we do not
    try:
        model, tokenizer, *_ = load(
            str(folder),
            tokenizer_config={"trust_remote_code": False},
            adapter_path=None if adapter is None else str(Path(adapter).expanduser()),
        )
    except Exception as error:
        raise BackendError(
            f"{name_of(folder)} could not be loaded: {first_line(error)}.",
            backend="mlx",
            retriable=False,
        ) from error
    return model, tokenizer
