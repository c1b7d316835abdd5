"""A loaded model with all that belongs to it; :mod:`workers.backends.llama_cpp` imports it late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ledger.errors import ContextTooLong, InvalidRequest
from ledger.messages import Request
from ledger.settings import Settings
from workers.backends.answer import Answer, Counters
from workers.backends.base import Piece, Run
from workers.backends.choice import choice_of
from workers.backends.llama_engine import Engine
from workers.backends.llama_grammar import compile_grammar, grammar_of
from workers.backends.llama_options import LlamaOptions
from workers.backends.llama_prompt import Prompter
from workers.backends.llama_sampler import Sampler
from workers.backends.sessions import Sessions

MIB = 1 << 20


class LlamaModel:
    """Answers one run at a time. ``counters`` are those of the latest run."""

    def __init__(
        self, path: Path, options: LlamaOptions, settings: Settings, *, window: int, n_threads: int
    ) -> None:
        """Loads it.

        Raises:
            BackendError: llama.cpp could not load it, or its chat template cannot be used.
            InvalidSetting: there is no chat template of the name in ``options``.
        """
        self.counters = Counters()
        self._settings, self._window = settings, window
        self._resume_batch = options.resume_batch
        self._last: tuple[Request, list[int]] | None = None
        self._engine = Engine(
            path,
            n_ctx=window,
            n_batch=options.n_batch,
            n_threads=n_threads,
            n_gpu_layers=options.n_gpu_layers,
            flash_attn=options.flash_attn,
            verbose=options.verbose,
        )
        try:
            self._prompter = Prompter(self._engine, options.chat_format)
        except BaseException:
            self._engine.close()
            raise
        self._sessions = Sessions(
            self._engine, most_bytes=options.kept_mib * MIB, most_states=options.kept_states
        )

    @property
    def evaluated(self) -> int:
        """See :attr:`workers.backends.llama_engine.Engine.evaluated`."""
        return self._engine.evaluated

    def prompt(self, request: Request) -> list[int]:
        """The request's tokens; those of the latest request are remembered, since they are asked
        for twice.
        """
        if self._last is None or self._last[0] is not request:
            tokens = self._engine.tokenize(self._prompter.text(request), special=True)
            self._last = request, tokens
        return self._last[1]

    def stream(self, run: Run) -> Iterator[Piece]:
        """The answer's pieces."""
        prompt = self.prompt(run.request)
        if not prompt:
            raise InvalidRequest("The prompt is empty, and this model begins with no token.")
        if len(prompt) >= self._window:
            raise ContextTooLong(
                prompt_tokens=len(prompt), window=self._window, backend="llama_cpp", retriable=False
            )
        choice = choice_of(run.request, self._settings, self._engine.n_vocab)
        grammar = grammar_of(run.request.response_format)
        compiled = None if grammar is None else compile_grammar(self._engine, grammar)
        with closing(Sampler(self._engine, choice, compiled)) as sampler:
            answer = Answer(
                self._engine,
                self._sessions,
                sampler,
                run,
                prompt=prompt,
                window=self._window,
                repeats=choice.repeats,
                resume_batch=self._resume_batch,
            )
            self.counters = answer.counters
            yield from answer.pieces()

    def forget(self, tenant: str, session_id: str | None) -> None:
        """Erases contexts; see :class:`workers.backends.base.Backend`."""
        self._last = None
        self._sessions.forget(tenant, session_id)

    def close(self) -> None:
        """Gives the memory back."""
        self._engine.close()
