"""How likely a token was, as a server tells it."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.messages import TokenLogprob
from workers.backends.base import LEAST_LOGPROB

NO_ID = -1  # servers name a token by its text alone


def logprob_of(
    text: str, logprob: float, likely: Iterable[tuple[str, float]], most: int
) -> TokenLogprob:
    """One token, and the likeliest in its place.

    Args:
        text: the token.
        logprob: natural logarithm of its probability.
        likely: the same of others; servers may name more of them than were asked for.
        most: how many were.
    """
    best = sorted(likely, key=lambda pair: -pair[1])[:most]
    top = tuple(_entry(one, value) for one, value in best)
    return TokenLogprob(id=NO_ID, text=text, logprob=max(LEAST_LOGPROB, logprob), top=top)


def _entry(text: str, logprob: float) -> TokenLogprob:
    return TokenLogprob(id=NO_ID, text=text, logprob=max(LEAST_LOGPROB, logprob))
