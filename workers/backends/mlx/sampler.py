"""Chooses the next token of one answer, by mlx-lm's own samplers.

The draw for a token depends on the seed and on the token's place in the answer, not on the state of
a generator: an answer that is taken up in another process goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import mlx.core as mx
from mlx_lm.sample_utils import make_logits_processors, make_sampler

from workers.backends.local.choice import Choice, seed_of


class MlxSampler:
    """``top_p`` counts before ``top_k``, and both before ``temperature``, as in mlx-lm."""

    def __init__(self, choice: Choice, n_vocab: int) -> None:
        """
        Args:
            choice: how tokens are chosen.
            n_vocab: numbers that the model gives for a place.
        """
        self._choice = choice
        self._bias = make_logits_processors(choice.bias or None)
        limited = 0 < choice.top_k < n_vocab
        self._sampler = make_sampler(
            temp=choice.temperature,
            top_p=choice.top_p,
            top_k=choice.top_k if limited else 0,
        )

    def choose(self, logits: mx.array, place: int) -> int:
        """The next token, where the answer has ``place`` of them so far."""
        return int(self._draw(logits[None], place).item())

    def from_place(self, place: int) -> Callable[[mx.array], mx.array]:
        """For mlx-lm's loop: what is called once for each place, from this one on."""
        places = count(place)
        return lambda logits: self._draw(logits, next(places))

    def accept(self, token: int) -> None:
        """It needs to know nothing of what came before."""

    def reset(self) -> None:
        """As above."""

    def _draw(self, logits: mx.array, place: int) -> mx.array:
        """The token for each row of ``logits``, not computed yet."""
        for add in self._bias:
            logits = add(None, logits)
        mx.random.seed(seed_of(self._choice.seed, place))
        return self._sampler(logits)
