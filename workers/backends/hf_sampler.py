"""Chooses the next token of one answer, by the logits processors of transformers.

The draw for a token depends on the seed and on the token's place in the answer, not on the state of
a generator: an answer that is taken up in another process goes on as if nothing had happened.
"""

from __future__ import annotations

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from workers.backends.choice import Choice, seed_of

COLDEST = 1e-4  # below it, numbers of 32 bits are too large to be weighed
MOST_BIAS = 1e9


class HfSampler:
    """Bias, temperature, ``top_k``, ``top_p``, in the order of the library's own ``generate``."""

    def __init__(self, choice: Choice, device: torch.device) -> None:
        self._choice, self._device = choice, device
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
        if self._choice.temperature == 0:
            return int(scores.argmax())
        nothing = torch.empty((1, 0), dtype=torch.long, device=self._device)  # they read no tokens
        chances = self._warpers(nothing, scores[None]).softmax(-1)
        self._generator.manual_seed(seed_of(self._choice.seed, place))
        return int(torch.multinomial(chances, 1, generator=self._generator))

    def accept(self, token: int) -> None:
        """Nothing here depends on the tokens before."""

    def reset(self) -> None:
        """Likewise."""


def _bias(choice: Choice, device: torch.device) -> tuple[torch.Tensor, torch.Tensor] | None:
    if not choice.bias:
        return None
    tokens = torch.tensor(list(choice.bias), device=device)
    added = torch.tensor(list(choice.bias.values()), dtype=torch.float32, device=device)
    return tokens, added.clamp(-MOST_BIAS, MOST_BIAS)
