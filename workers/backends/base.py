"""The contract between the runner and a model: a few methods, and abilities that say what it has.

A backend lives in the process of its instance, serves one run at a time per slot, and knows neither
Celery nor Redis. Third parties add one through the entry point group ``apexq.backends``.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ledger.messages import Request, TokenLogprob

Say = Callable[[str], None]

OPTIONS = (
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "logit_bias",
    "logprobs",
    "response_format",
    "tools",
    "tool_choice",
)

LEAST_LOGPROB = -9999.0  # of a token that the model rules out, as in OpenAI's API

WARM_UP = Request(prompt="test", agent_id="warm-up", max_tokens=1)


def unsaid(what: str) -> None:
    """A :data:`Say` that nobody hears."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a backend has. What it lacks is refused in the request, never dropped.

    ``continues``: it can go on from partial text, so a job may be preempted and a retry resumes.
    ``options``: the options of :class:`~ledger.messages.Request` that it takes, of
    :data:`~workers.backends.base.OPTIONS`. ``window``: context length in tokens, 0 when it sets no
    limit of its own. ``slots``: jobs that it can serve at once, each from a process of its own
    (0: any number); known before it is loaded. ``chat``: it takes ``messages``. ``images``: they
    may show some. ``reasoning``: it tells a model's thoughts apart from its answer. ``anew_with``:
    options with which it does not continue after all. ``warms_up``: its first answer takes longer,
    so a worker asks for a short one before it is ready; no backend that asks a server does.
    """

    continues: bool = False
    options: frozenset[str] = frozenset()
    window: int = 0
    slots: int = 1
    chat: bool = True
    images: bool = False
    reasoning: bool = False
    anew_with: frozenset[str] = frozenset()
    warms_up: bool = True

    def continues_with(self, request: Request) -> bool:
        """Whether it can go on from partial text of an answer to this request."""
        given = (name for name in self.anew_with if getattr(request, name) not in (None, ()))
        return self.continues and not any(given)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the answer; ``tokens`` is how many tokens of the model it stands for, ``logprobs``
    has one entry for each of them if the request asks for it. On one piece ``cached_tokens`` says
    how many of the prompt's tokens were not read again.

    ``reasoning``: a part of what the model thinks before it answers. ``tool_calls``: deltas in the
    form of OpenAI's chat API (``index``, and parts of ``id``, ``type`` and ``function``).
    ``prompt_tokens``: a server's own count of the prompt, on any piece, where ``count_tokens``
    could only estimate it. A server that tells only at the end how many tokens an answer had says
    the rest of them in the ``tokens`` of a last piece without text.
    """

    text: str
    tokens: int = 1
    finish_reason: Literal["stop", "length", "tool_calls"] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    cached_tokens: int = 0
    reasoning: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a request.

    ``max_tokens``: completion tokens still to be made, at most. ``continue_from``: the answer so
    far, for a backend that continues. ``job_id`` is the same in each attempt. ``stop`` is set when
    the answer is no longer wanted; a backend that waits for something waits for this too.
    """

    request: Request
    max_tokens: int
    continue_from: str = ""
    attempt: int = 1
    job_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stop: threading.Event = field(default_factory=threading.Event)


class Estimate(int):
    """A count of which only the server knows whether it is right, so it refuses and cuts nothing
    for the window's sake: the server does.
    """


class Backend(Protocol):
    """A model that answers. Errors are :class:`ledger.errors.BackendError` or its kinds."""

    @property
    def abilities(self) -> Abilities:
        """What it can do; constant after :meth:`load`."""
        ...

    def load(self, say: Say = unsaid) -> None:
        """Makes the model ready to answer; called once, in the process that will run it. Where that
        takes long, ``say`` is told from time to time what is going on, in a few words.
        """
        ...

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields the answer piece by piece; closing the iterator, where it can be closed, stops the
        work in the model."""
        ...

    def count_tokens(self, request: Request) -> int:
        """Prompt tokens of the request as the model will read it, by its own tokenizer; where that
        is out of reach an :class:`Estimate`, which :attr:`Piece.prompt_tokens` puts right.
        """
        ...

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """Erases what it keeps of a tenant's sessions of this name, or of all of the tenant's
        sessions; called between two runs, in the thread that runs them.
        """
        # For a backend that keeps nothing and inherits this.

    def health(self) -> str:
        """Empty if it can answer now, otherwise one sentence that says why not."""
        ...

    def close(self) -> None:
        """Gives back memory and connections."""
        ...
