"""Brings the model to where it was after a part of its answer, from the text of that part alone.

The text does not say which tokens it was made of: "the" may have been "t", "he". Where each token
follows from those before it, greedily or by a seed, the model itself says which: the text's own
tokens are read, and where the model would have chosen another one that fits the text, that one is
taken and the rest is tokenised anew.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from workers.backends.local.engine import Engine, Sampler
from workers.backends.local.text import Utf8

ANCHOR = "\n"


def recover(engine: Engine, answer: Sequence[int], text: str) -> list[int] | None:
    """The first tokens of ``answer`` if ``text`` was made of them, otherwise None."""
    utf8, at = Utf8(), 0
    for count, token in enumerate(answer, 1):
        piece = utf8.push(engine.piece(token))
        if not text.startswith(piece, at):
            return None
        at += len(piece)
        if at == len(text) and utf8.whole:
            return list(answer[:count])
    return None


def continuation(engine: Engine, text: str) -> list[int]:
    """Tokens of a text that does not stand at the beginning, where some tokenizers add a space."""
    plain = engine.tokenize(text, special=False)
    if engine.bytes_of(plain) == text.encode():
        return plain
    anchor = engine.tokenize(ANCHOR, special=False)
    behind = engine.tokenize(ANCHOR + text, special=False)
    return behind[len(anchor) :] if behind[: len(anchor)] == anchor else plain


def step_back(engine: Engine, length: int, stop: threading.Event) -> bool:
    """Forgets all tokens but the first ``length``, which some models then have to read again.

    Returns False if it was told to stop.
    """
    kept = engine.tokens[:length]
    engine.truncate(length)
    missing = kept[len(engine.tokens) :]
    return not missing or engine.extend(missing, stop)


class Replay:
    """One such text. ``tokens`` are those that it was made of, as far as they are found."""

    def __init__(self, engine: Engine, sampler: Sampler, text: str, stop: threading.Event) -> None:
        """The model has just read the prompt."""
        self.tokens: list[int] = []
        self._engine, self._sampler, self._text, self._stop = engine, sampler, text, stop
        self._prompt_length = len(engine.tokens)
        self._utf8, self._at = Utf8(), 0

    def take_any(self) -> bool:
        """Reads the text's own tokens: for an answer drawn by chance these are as good as others.

        Returns False if it was told to stop.
        """
        if not step_back(self._engine, self._prompt_length, self._stop):
            return False
        self._sampler.reset()
        self.tokens = continuation(self._engine, self._text)
        for token in self.tokens:
            self._sampler.accept(token)
        return self._engine.extend(self.tokens, self._stop)

    def take_own(self, batch: int) -> bool:
        """Reads the tokens that the model chose. Returns False if it was told to stop.

        Args:
            batch: how many at a time. One by one, as they were made, gives the very same numbers;
                more is faster, and for most kinds of weights a little different.
        """
        wanted = continuation(self._engine, self._text)
        expected = self._sampler.choose(self._engine.logits(), 0)
        while self._at < len(self._text) or not self._utf8.whole:
            if self._stop.is_set():
                return False
            if self._fits(expected) and wanted[:1] != [expected]:
                wanted = [expected, *self._rest_after(expected)]
            if not (wanted and self._fits(wanted[0]) and self._engine.room):
                return self.take_any()  # the model's arithmetic differs from what it was
            taken = self._read(wanted[: min(batch, self._engine.room)])
            if taken is None:
                return False
            count, expected = taken
            del wanted[:count]
        return True

    def _read(self, batch: list[int]) -> tuple[int, int] | None:
        """Reads a batch up to where the model would have chosen another token.

        Returns how many were taken, and the model's choice behind them; None if it was told to
        stop.
        """
        start = len(self._engine.tokens)
        self._engine.read(batch, all_logits=True)
        for count, token in enumerate(batch, 1):
            self._sampler.accept(token)
            self.tokens.append(token)
            self._at += len(self._utf8.push(self._engine.piece(token)))
            expected = self._sampler.choose(self._engine.logits(count - 1), len(self.tokens))
            if count < len(batch) and not self._goes_on(batch[count], expected):
                break
        whole = step_back(self._engine, start + count, self._stop)
        return (count, expected) if whole else None

    def _goes_on(self, following: int, expected: int) -> bool:
        """True if the token that follows is the model's choice, or is all there is to take."""
        if following == expected:
            return True
        return self._fits(following) and not self._fits(expected)

    def _fits(self, token: int) -> bool:
        """True if the text can go on with this token."""
        if self._engine.ends(token):
            return False
        piece, whole = self._utf8.peek(self._engine.piece(token))
        goes_on = whole or self._at + len(piece) < len(self._text)
        return goes_on and self._text.startswith(piece, self._at)

    def _rest_after(self, token: int) -> list[int]:
        """Tokens for what follows; none while a character is begun: the model says how it ends."""
        piece, whole = self._utf8.peek(self._engine.piece(token))
        return continuation(self._engine, self._text[self._at + len(piece) :]) if whole else []
