"""How likely tokens were, as a server tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.messages import TokenLogprob
from workers.backends.base import LEAST_LOGPROB
from workers.backends.servers.halves import mended

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
    return TokenLogprob(id=NO_ID, text=mended(text), logprob=max(LEAST_LOGPROB, logprob), top=top)


def logprobs_of(told: Iterable[Mapping[str, Any]] | None, most: int) -> tuple[TokenLogprob, ...]:
    """Tokens in the form of OpenAI's chat API, which Ollama has too."""
    return tuple(
        logprob_of(
            one["token"],
            one["logprob"],
            ((each["token"], each["logprob"]) for each in one.get("top_logprobs") or ()),
            most,
        )
        for one in told or ()
    )


def _entry(text: str, logprob: float) -> TokenLogprob:
    return TokenLogprob(id=NO_ID, text=mended(text), logprob=max(LEAST_LOGPROB, logprob))
