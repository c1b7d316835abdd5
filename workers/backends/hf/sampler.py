"""Chooses the next token of one answer, by the logits processors of transformers and, where the
request has one, by a grammar in front of them.

The draw for a token depends on the seed and on the token's place in the answer, not on the state of
a generator: an answer that is taken up in another process goes on as if nothing had happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from workers.backends.hf.engine import failed
from workers.backends.local.choice import Choice, seed_of

if TYPE_CHECKING:
    from workers.backends.local.grammar import Grammar  # whose library may be missing

COLDEST = 1e-4  # below it, numbers of 32 bits are too large to be weighed
MOST_BIAS = 1e9


class HfSampler:
    """Bias, grammar, temperature, ``top_k``, ``top_p``: the order of the library's ``generate``."""

    def __init__(
        self, choice: Choice, device: torch.device, grammar: Grammar | None = None
    ) -> None:
        """
        Args:
            choice: how.
            device: where the logits are.
            grammar: what the answer is held to.
        """
        self._choice, self._device, self._grammar = choice, device, grammar
        self._bias = _bias(choice, device)
        self._warpers = LogitsProcessorList()
        if choice.temperature > 0:
            self._warpers.append(TemperatureLogitsWarper(max(COLDEST, choice.temperature)))
            if choice.top_k:
                self._warpers.append(TopKLogitsWarper(choice.top_k))
            if choice.top_p < 1:
                self._warpers.append(TopPLogitsWarper(choice.top_p))
            self._generator = torch.Generator(device)

    def choose(self, logits: torch.Tensor, place: int) -> int:
        """The next token.

        Args:
            logits: of the whole vocabulary.
            place: how many tokens the answer has so far.
        """
        scores = logits.float()
        if self._bias is not None:
            tokens, added = self._bias
            scores = scores.index_add(0, tokens, added)
        if self._grammar is not None:
            scores = self._held(scores, self._grammar)
        if self._choice.temperature == 0:
            return int(scores.argmax())
        nothing = torch.empty((1, 0), dtype=torch.long, device=self._device)  # they read no tokens
        chances = self._warpers(nothing, scores[None]).softmax(-1)
        self._generator.manual_seed(seed_of(self._choice.seed, place))
        return int(torch.multinomial(chances, 1, generator=self._generator))

    def accept(self, token: int) -> None:
        """Tells the grammar what the next token is.

        Raises:
            BackendError: it does not allow that.
        """
        if self._grammar is not None:
            self._grammar.accept(token)

    def reset(self) -> None:
        """The answer begins anew."""
        if self._grammar is not None:
            self._grammar.reset()

    def _held(self, scores: torch.Tensor, grammar: Grammar) -> torch.Tensor:
        """Only what the grammar allows."""
        allowed = torch.zeros(len(scores), dtype=torch.bool)
        found = torch.tensor(grammar.allowed()[: len(scores)])
        allowed[: len(found)] = found
        if not found.any():
            raise failed("The grammar allows none of the model's tokens here; change it.")
        return scores.masked_fill(~allowed.to(self._device), -torch.inf)


def _bias(choice: Choice, device: torch.device) -> tuple[torch.Tensor, torch.Tensor] | None:
    if not choice.bias:
        return None
    tokens = torch.tensor(list(choice.bias), device=device)
    added = torch.tensor(list(choice.bias.values()), dtype=torch.float32, device=device)
    return tokens, added.clamp(-MOST_BIAS, MOST_BIAS)
