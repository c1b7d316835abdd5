"""What a server of the tests has instead of a model: words that follow from all that it reads.

One word is one token. Foreign text in the context changes the answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

LONG, SHORT, SLOW = "Tell a long story.", "hello", "Be slow."
GREETING = "Hello from Zürich."  # what SHORT is answered with


@dataclass(frozen=True)
class Made:
    """An answer: its tokens' texts, how many tokens it cost, and how it ended."""

    texts: tuple[str, ...]
    tokens: int
    end: Literal["stop", "length", "stop_text"]
    stop_text: str | None = None


def answer(context: str, most: int, *, so_far: str = "", stops: tuple[str, ...] = ()) -> Made:
    """The answer to a context, from where ``so_far`` ends.

    Args:
        context: all that is read, roles and tools included.
        most: tokens, at most.
        so_far: the beginning, which was made before.
        stops: texts that end it.
    """
    words = _words(context)[len(so_far.split()) :]
    cut = words[:most]
    whole = "".join(cut)
    found = [(whole.find(stop), stop) for stop in stops if stop in whole]
    if found:
        at, stop = min(found)
        texts = _until(cut, at)
        return Made(texts, len(_until(cut, at + len(stop))), "stop_text", stop)
    if len(words) > most:
        return Made(tuple(cut), most, "length")
    return Made(tuple(cut), min(len(cut) + 1, most), "stop")  # the token that ends it counts too


def _words(context: str) -> list[str]:
    if SHORT in context:
        return ["Hello", " from", " Zürich."]
    mark = hashlib.sha256(context.encode()).hexdigest()[:3]
    made = ["Once", " in", " 日本"]
    return made + [f" {mark}-{number}" for number in range(1000)]


def _until(texts: list[str], length: int) -> tuple[str, ...]:
    """The texts' first ``length`` characters, in the same parts."""
    parts = []
    for text in texts:
        if length <= 0:
            break
        parts.append(text[:length])
        length -= len(text)
    return tuple(parts)
