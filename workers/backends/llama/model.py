"""A loaded model with all that belongs to it; the backend imports it late."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path

from ledger.messages import Request
from ledger.settings import Settings
from workers.backends.llama.engine import Engine
from workers.backends.llama.grammar import compile_grammar, grammar_of
from workers.backends.llama.options import LlamaOptions
from workers.backends.llama.prompt import renderer
from workers.backends.llama.sampler import Sampler
from workers.backends.local.choice import Choice
from workers.backends.local.model import LocalModel
from workers.backends.local.prompt import Prompter


class LlamaModel(LocalModel):
    """A model on llama.cpp."""

    def __init__(
        self, path: Path, options: LlamaOptions, settings: Settings, *, window: int, n_threads: int
    ) -> None:
        """Loads it.

        Raises:
            BackendError: llama.cpp could not load it, or its chat template cannot be used.
            InvalidSetting: there is no chat template of the name in ``options``.
        """
        self._llama = Engine(
            path,
            n_ctx=window,
            n_batch=options.n_batch,
            n_threads=n_threads,
            n_gpu_layers=options.n_gpu_layers,
            flash_attn=options.flash_attn,
            verbose=options.verbose,
        )
        try:
            prompter = Prompter(renderer(self._llama, options.chat_format))
        except BaseException:
            self._llama.close()
            raise
        super().__init__(
            self._llama,
            prompter,
            self._sampler,
            options,
            settings,
            backend="llama_cpp",
            window=window,
        )

    @property
    def evaluated(self) -> int:
        """See :attr:`workers.backends.llama.engine.Engine.evaluated`."""
        return self._llama.evaluated

    def _sampler(self, request: Request, choice: Choice) -> AbstractContextManager[Sampler]:
        grammar = grammar_of(request.response_format)
        compiled = None if grammar is None else compile_grammar(self._llama, grammar)
        return closing(Sampler(self._llama, choice, compiled))
