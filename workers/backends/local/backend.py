"""A model in this process behind the contract, whatever library runs it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from ledger.errors import BackendError
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Piece, Run, Say, unsaid

log = logging.getLogger(__name__)

OPTIONS = frozenset({"temperature", "top_p", "top_k", "stop", "seed", "logit_bias", "logprobs"})


class Model(Protocol):
    """A loaded model; :class:`workers.backends.local.model.LocalModel` is one."""

    def prompt(self, request: Request) -> list[int]:
        """The request's tokens."""
        ...

    def stream(self, run: Run) -> Iterator[Piece]:
        """The answer's pieces."""
        ...

    def forget(self, tenant: str, session_id: str | None) -> None:
        """Erases contexts."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


M = TypeVar("M", bound=Model)


class LocalBackend(ABC, Generic[M]):
    """One model in this process, one job at a time.

    Its library is first imported where the model is loaded, in the worker's child: nothing of a GPU
    may be touched before the fork. ``options``, ``anew_with``: see :class:`Abilities`.
    """

    options: frozenset[str] = OPTIONS
    anew_with: frozenset[str] = frozenset()

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        """Nothing is loaded."""
        self._spec, self._settings = spec, settings
        self._window = settings.ctx_tokens
        self._model: M | None = None

    @property
    def abilities(self) -> Abilities:
        """It continues; the window is the setting's, or the model's where that is smaller."""
        return Abilities(
            continues=True,
            options=self.options,
            window=self._window,
            anew_with=self.anew_with,
        )

    @abstractmethod
    def load(self, say: Say = unsaid) -> None:
        """Finds or downloads the model's files, and loads them."""

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
            InvalidRequest: ``logit_bias`` or ``response_format`` cannot be used.
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
        model, self._model = self._model, None
        if model is not None:
            model.close()

    @property
    def _loaded(self) -> M:
        if self._model is None:
            raise BackendError(self.health(), backend=self._spec.backend, retriable=False)
        return self._model

    def _bound_window(self, name: str, trained: int | None) -> None:
        """The window is no longer than what the model was trained for, where that is known."""
        wanted = self._settings.ctx_tokens
        self._window = min(wanted, trained or wanted)
        if self._window < wanted:
            log.warning("%s has %d tokens of context, not %d.", name, self._window, wanted)
