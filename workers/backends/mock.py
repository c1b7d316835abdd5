"""A stand-in for a model: deterministic, instant, counts words as tokens.

It answers from keywords and a hash of everything it was given, so that any foreign text in its
context changes the answer. Directives in the prompt make it slow, long, or broken on purpose.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
from collections import Counter
from collections.abc import Iterator

from ledger.errors import BackendError, InvalidSetting, ModelNotFound, RateLimited
from ledger.messages import Request
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Abilities, Piece, Run, Say, unsaid
from workers.backends.mock_directives import Directives, parse

_ANSWERS = {
    "plan": "First we list the steps, then we order them, then we begin with the smallest.",
    "code": "The function takes the input, checks it, and returns the answer as a new value.",
    "test": "All tests ran and every one of them passed.",
    "run": "The command ended with exit status zero and printed nothing unexpected.",
    "review": "The change is sound, though one name could say more than it does.",
    "crit": "The argument holds, but its second step deserves a proof.",
    "summar": "In short: the work is done, and what is left is written down.",
    "hello": "Hello, how can I help you today?",
    "hi": "Hi there, what shall we do?",
}
_DEFAULT = "I have read what you sent and this is my answer."


class MockBackend:
    """Needs no model. Answers ``<sentence> [context <hash>]`` unless a directive says otherwise."""

    abilities = Abilities(
        continues=True,
        options=frozenset({"temperature", "top_p", "top_k", "stop", "seed"}),
        slots=0,
    )

    def __init__(self, spec: InstanceSpec, settings: Settings) -> None:
        if spec.options:
            option = next(iter(spec.options))
            raise InvalidSetting(
                f"{spec.name}: the backend mock has no option {option!r}; remove it."
            )
        self._directives = settings.mock_directives
        self._model = spec.served_model
        self._refused: Counter[str] = Counter()  # how often, by job

    def load(self, say: Say = unsaid) -> None:
        """Nothing to load."""

    def count_tokens(self, request: Request) -> int:
        """Words of the prompt or of all messages."""
        return sum(len(text.split()) for text in request.texts)

    def stream(self, run: Run) -> Iterator[Piece]:
        """Yields one word at a time, from where ``continue_from`` ends."""
        wants = parse(run.request.texts[-1]) if self._directives else Directives()
        self._refuse(wants, run)
        already = len(run.continue_from.split())
        if run.stop.wait(wants.first_ms / 1000):
            return
        words = _until_stop(_words(run.request, wants), run)
        for index, word in itertools.islice(enumerate(words), already, None):
            if index - already >= run.max_tokens:
                yield Piece("", 0, "length")
                return
            _misbehave(wants, index, run)
            if run.stop.is_set() or (wants.tps and run.stop.wait(1 / wants.tps)):
                return
            yield Piece(word if index == 0 else f" {word}")
        yield Piece("", 0, "stop")

    def _refuse(self, wants: Directives, run: Run) -> None:
        """Refuses a run as a provider does."""
        if wants.unknown_to == self._model:
            raise ModelNotFound(backend="mock", model=self._model, said="so the prompt says")
        if self._refused[run.job_id] < wants.limits:
            self._refused[run.job_id] += 1
            raise RateLimited(
                backend="mock", retry_after_s=wants.retry_after_s, said="so the prompt says"
            )

    def forget(self, tenant: str, session_id: str | None = None) -> None:
        """It keeps nothing."""

    def health(self) -> str:
        """Always well."""
        return ""

    def close(self) -> None:
        """Nothing to give back."""


def context_hash(request: Request) -> str:
    """Twelve hex digits of everything the request lets the model read, and of nothing else."""
    context = "\x00".join([request.tenant, request.agent_id, request.session_id or ""])
    context += "\x01".join(request.texts)
    return hashlib.sha256(context.encode()).hexdigest()[:12]


def _words(request: Request, wants: Directives) -> Iterator[str]:
    if wants.say is not None:
        return iter(wants.say.split())
    if wants.tokens is not None:
        mark = context_hash(request)[:4]
        return (f"{mark}-{index}" for index in range(wants.tokens))
    text = request.texts[-1].lower()
    answer = next((said for word, said in _ANSWERS.items() if word in text), _DEFAULT)
    return iter(f"{answer} [context {context_hash(request)}]".split())


def _until_stop(words: Iterator[str], run: Run) -> Iterator[str]:
    """The words before the first of the request's stop texts."""
    stops = run.request.stop
    if not stops:
        return words
    whole = " ".join(itertools.islice(words, run.request.max_tokens + 1))
    ends = [at for at in (whole.find(stop) for stop in stops) if at >= 0]
    return iter(whole[: min(ends)].split(" ") if ends else whole.split(" "))


def _misbehave(wants: Directives, index: int, run: Run) -> None:
    if index == wants.error_at and (wants.errors is None or run.attempt <= wants.errors):
        raise BackendError(
            "The mock was told to fail here.",
            backend="mock",
            retriable=wants.errors is not None,
            retry_after_s=wants.retry_after_s,
        )
    if index == wants.crash_at and run.attempt <= wants.crashes:
        os.kill(os.getpid(), signal.SIGKILL)
    if index == 0 and wants.eat_mb:
        bytearray(wants.eat_mb * 1_000_000)
    if index == wants.hang_at and (wants.hangs is None or run.attempt <= wants.hangs):
        signal.pause()
