"""One run: reads the prompt, takes up a partial answer, makes the rest token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from ledger.messages import TokenLogprob
from workers.backends.base import Piece, Run
from workers.backends.local.engine import Engine, Logits, Sampler
from workers.backends.local.logprobs import logprobs_of
from workers.backends.local.replay import Replay, recover
from workers.backends.local.sessions import Sessions, key_of
from workers.backends.local.text import Ready, Text


@dataclass(slots=True)
class Counters:
    """Tokens of context of one run: read by the model, and found in the KV cache."""

    read: int = 0
    reused: int = 0


class Answer:
    """The answer to one request, from where ``run.continue_from`` ends."""

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        sampler: Sampler,
        run: Run,
        *,
        prompt: Sequence[int],
        window: int,
        repeats: bool,
        resume_batch: int,
    ) -> None:
        """
        Args:
            prompt: the request's tokens.
            window: tokens of prompt and answer together, at most.
            repeats: the same request would get the same answer, token by token.
            resume_batch: tokens of a partial answer that are read in one step.
        """
        self.counters = Counters()
        self._engine, self._sessions, self._sampler = engine, sessions, sampler
        self._run, self._prompt, self._window = run, list(prompt), window
        self._repeats, self._resume_batch = repeats, resume_batch
        self._logprobs: list[TokenLogprob] = []  # of the tokens that are not out yet
        self._cached_tokens = 0  # of the prompt, until the first piece is out

    def pieces(self) -> Iterator[Piece]:
        """The answer's pieces; none if it is told to stop before the first."""
        request = self._run.request
        complete = False
        self._sessions.enter(key_of(self._run))
        try:
            if self._take_up():
                for piece in self._make():
                    complete = piece.finish_reason is not None
                    yield piece
        finally:
            if complete and request.session_id is None:
                self._sessions.end()

    def _take_up(self) -> bool:
        """Reads prompt and partial answer, as far as the cache has not got them; False if it was
        told to stop.
        """
        engine, sampler, run = self._engine, self._sampler, self._run
        before = engine.read_tokens
        known = self._known()
        context = self._prompt + (known or [])
        engine.truncate(min(_common(engine.tokens, context), len(context) - 1))
        self._sessions.answer = known or []
        if not engine.extend(context[len(engine.tokens) :], run.stop):
            return False
        for token in known or []:
            sampler.accept(token)
        if run.continue_from and known is None:
            replay = Replay(engine, sampler, run.continue_from, run.stop)
            batch = self._resume_batch
            if not (replay.take_own(batch) if self._repeats else replay.take_any()):
                return False
            self._sessions.answer = replay.tokens
        self.counters.read = engine.read_tokens - before
        self.counters.reused = max(0, len(engine.tokens) - self.counters.read)
        self._cached_tokens = min(self.counters.reused, len(self._prompt))
        return True

    def _known(self) -> list[int] | None:
        """The partial answer's tokens, if the session was left where they were made."""
        length = len(self._prompt)
        if not self._run.continue_from or self._engine.tokens[:length] != self._prompt:
            return None
        return recover(self._engine, self._sessions.answer, self._run.continue_from)

    def _make(self) -> Iterator[Piece]:
        engine, sampler, run = self._engine, self._sampler, self._run
        tokens = self._sessions.answer
        text = Text(run.request.stop, run.continue_from)
        with closing(engine.chosen(sampler, len(tokens))) as chosen:
            for made in range(1, run.max_tokens + 1):
                if run.stop.is_set():
                    return
                token, logits = next(chosen)
                if engine.ends(token):
                    yield self._piece(text.flush(), "stop")
                    return
                self._weigh(token, logits)
                sampler.accept(token)
                tokens.append(token)
                ready = text.push(engine.piece(token))
                if ready.stopped:
                    yield self._piece(ready, "stop")
                    return
                if made == run.max_tokens or len(self._prompt) + len(tokens) >= self._window:
                    rest = text.flush()
                    whole = Ready(ready.text + rest.text, ready.tokens + rest.tokens)
                    yield self._piece(whole, "length")
                    return
                if ready.tokens:
                    yield self._piece(ready)

    def _weigh(self, token: int, logits: Logits) -> None:
        """Notes how likely the token was, if that is asked."""
        alternatives = self._run.request.logprobs
        if alternatives is not None:
            self._logprobs.append(logprobs_of(self._engine, logits, token, alternatives))

    def _piece(self, ready: Ready, end: Literal["stop", "length"] | None = None) -> Piece:
        logprobs = tuple(self._logprobs[: ready.tokens])
        del self._logprobs[: ready.tokens]
        cached, self._cached_tokens = self._cached_tokens, 0
        return Piece(ready.text, ready.tokens, end, logprobs, cached)


def _common(some: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for count, (one, other) in enumerate(zip(some, others, strict=False)):
        if one != other:
            return count
    return min(len(some), len(others))
