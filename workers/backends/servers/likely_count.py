"""About how many tokens a prompt has, for a model whose tokenizer is out of reach."""

from __future__ import annotations

import math

from budgets.estimate import prompt_tokens_bound
from ledger.messages import Request
from workers.backends.base import Estimate

FIRST_GUESS = 1 / 4  # tokens a byte: prose in most languages, whatever its script
ENOUGH = 1000  # bytes of a prompt from which something is learnt: a template's frame is short then
WEIGHT = 1 / 4  # of the latest prompt among the earlier ones


class LikelyCount:
    """Learns from what a server counts how many tokens its model makes of a byte."""

    def __init__(self) -> None:
        self._tokens_a_byte = FIRST_GUESS

    def of(self, request: Request) -> Estimate:
        """About how many tokens the model will read; at least 1."""
        return Estimate(math.ceil(prompt_tokens_bound(request) * self._tokens_a_byte))

    def learn(self, request: Request, counted: int) -> None:
        """Takes in that the server has counted so many."""
        bound = prompt_tokens_bound(request)
        if bound >= ENOUGH and counted > 0 and not request.images:
            self._tokens_a_byte += WEIGHT * (min(1.0, counted / bound) - self._tokens_a_byte)
