"""What a model in the process offers to those who drive it: tokens in, chances of the next one out.

Each library has an engine and a sampler of its own; the answer, its continuing from text and the
sessions are the same for all (``answer``, ``replay`` and ``sessions`` beside this).
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Protocol

import numpy.typing as npt

Logits = Any
"""Of one place, a number for each token of the vocabulary, as the library has it."""

Chosen = Generator[tuple[int, Logits], None, None]


class Sampler(Protocol):
    """How the tokens of one answer are chosen."""

    def choose(self, logits: Logits, place: int) -> int:
        """The next token, where the answer has ``place`` of them so far."""
        ...

    def accept(self, token: int) -> None:
        """Is told what the next token is."""
        ...

    def reset(self) -> None:
        """The answer begins anew."""
        ...


class Engine(Protocol):
    """A model and one KV cache.

    ``tokens`` is what the cache holds. ``read_tokens`` counts what was ever evaluated.
    """

    tokens: list[int]
    read_tokens: int
    n_vocab: int

    @property
    def room(self) -> int:
        """Tokens that can be read in one step now."""
        ...

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The model's tokens for the text; ``special``: it is a whole prompt."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes of a token; none for a control token."""
        ...

    def bytes_of(self, tokens: Iterable[int]) -> bytes:
        """The bytes of some tokens in a row."""
        ...

    def ends(self, token: int) -> bool:
        """True for a token with which the model ends its answer."""
        ...

    def read(self, tokens: Sequence[int], *, all_logits: bool = False) -> None:
        """Evaluates 1 to ``room`` tokens behind those it has."""
        ...

    def extend(self, tokens: Sequence[int], stop: threading.Event) -> bool:
        """Evaluates any number of tokens, batch by batch; False if it was told to stop."""
        ...

    def logits(self, index: int = -1) -> Logits:
        """Those behind a token of the last batch, valid until the next :meth:`read`."""
        ...

    def plain(self, logits: Logits) -> npt.NDArray[Any]:
        """The same for numpy."""
        ...

    def chosen(self, sampler: Sampler, place: int) -> Chosen:
        """Token after token from where the cache ends, each with what it was chosen from. When a
        token is asked for, the one before it has been read; the last may have been, too.
        """
        ...

    def truncate(self, length: int) -> None:
        """Forgets all tokens but the first ``length``, or all where the model cannot step back."""
        ...

    def clear(self) -> None:
        """Forgets everything."""
        ...

    def state_bytes(self) -> int:
        """Size of what :meth:`save` returns."""
        ...

    def save(self) -> Any:
        """The cache's content; valid until it is restored."""
        ...

    def restore(self, tokens: Sequence[int], data: Any) -> None:
        """Puts back what :meth:`save` returned when the cache held ``tokens``."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


def one_by_one(engine: Engine, sampler: Sampler, place: int) -> Chosen:
    """:meth:`Engine.chosen` for a library that reads what it is given at once."""
    while True:
        logits = engine.logits()
        token = sampler.choose(logits, place)
        yield token, logits
        engine.read([token])
        place += 1
