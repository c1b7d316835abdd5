"""A loaded model in the process with all that belongs to it, whatever library runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from ledger.messages import Request
from ledger.settings import Settings
from workers.backends.base import Piece, Run
from workers.backends.local.answer import Answer, Counters
from workers.backends.local.choice import Choice, choice_of
from workers.backends.local.engine import Engine, Sampler
from workers.backends.local.options import LocalOptions
from workers.backends.local.prompt import Prompter, require_room
from workers.backends.local.sessions import Sessions

MIB = 1 << 20

SamplerOf = Callable[[Request, Choice], AbstractContextManager[Sampler]]


class LocalModel:
    """Answers one run at a time. ``counters`` are those of the latest run."""

    def __init__(
        self,
        engine: Engine,
        prompter: Prompter,
        sampler_of: SamplerOf,
        options: LocalOptions,
        settings: Settings,
        *,
        backend: str,
        window: int,
    ) -> None:
        """
        Args:
            engine: the model; it is closed with this.
            prompter: a request as text.
            sampler_of: what chooses the tokens of one answer, closed after it.
            options: of the instance.
            settings: for what a request leaves out.
            backend: its name, for errors.
            window: tokens of prompt and answer together, at most.
        """
        self.counters = Counters()
        self._engine, self._prompter, self._sampler_of = engine, prompter, sampler_of
        self._settings, self._backend, self._window = settings, backend, window
        self._resume_batch = options.resume_batch
        self._last: tuple[Request, list[int]] | None = None
        self._sessions = Sessions(
            engine, most_bytes=options.kept_mib * MIB, most_states=options.kept_states
        )

    def prompt(self, request: Request) -> list[int]:
        """The request's tokens; those of the latest request are remembered, since they are asked
        for twice.

        Raises:
            InvalidRequest: there is no way to put the request to this model.
        """
        if self._last is None or self._last[0] is not request:
            tokens = self._engine.tokenize(self._prompter.text(request), special=True)
            self._last = request, tokens
        return self._last[1]

    def stream(self, run: Run) -> Iterator[Piece]:
        """The answer's pieces.

        Raises:
            InvalidRequest: an option cannot be used, or the prompt is empty.
            ContextTooLong: the prompt leaves no room for an answer.
        """
        prompt = self.prompt(run.request)
        require_room(prompt, self._window, backend=self._backend)
        choice = choice_of(run.request, self._settings, self._engine.n_vocab)
        with self._sampler_of(run.request, choice) as sampler:
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
