"""How likely the model found a token, and what else it might have said."""

from __future__ import annotations

import numpy as np

from ledger.messages import TokenLogprob
from workers.backends.base import LEAST_LOGPROB
from workers.backends.local.engine import Engine, Logits


def logprobs_of(engine: Engine, logits: Logits, token: int, alternatives: int) -> TokenLogprob:
    """Of the model's own distribution: before bias, grammar and temperature.

    Args:
        engine: which tokens these are.
        logits: what the token was chosen from.
        token: the one that was chosen.
        alternatives: how many of the likeliest tokens are named with it.
    """
    plain = engine.plain(logits).astype(np.float64)
    shifted = plain - plain.max()
    likely = shifted - np.log(np.exp(shifted).sum())

    def entry(one: int) -> TokenLogprob:
        text = engine.piece(one).decode(errors="replace")
        return TokenLogprob(id=one, text=text, logprob=max(LEAST_LOGPROB, float(likely[one])))

    best = np.argpartition(likely, -alternatives)[-alternatives:] if alternatives else ()
    ranked = sorted(map(int, best), key=lambda one: -likely[one])
    return entry(token).model_copy(update={"top": tuple(map(entry, ranked))})
