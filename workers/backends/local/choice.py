"""How the next token is chosen: the request's options, and the settings where it gives none."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import xxhash

from ledger.errors import InvalidRequest
from ledger.messages import Request
from ledger.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """``temperature`` 0 takes the likeliest token, ``top_k`` 0 sets no such limit, ``bias`` is
    added to the logits of these tokens. ``repeats``: the same request would get the same answer.
    """

    temperature: float
    top_p: float
    top_k: int
    seed: int
    repeats: bool
    bias: dict[int, float] = field(default_factory=dict)


def choice_of(request: Request, settings: Settings, n_vocab: int) -> Choice:
    """The choice that the request asks for.

    Raises:
        InvalidRequest: ``logit_bias`` names no token of the model.
    """
    given = request.temperature
    temperature = settings.temperature if given is None else given
    return Choice(
        temperature=temperature,
        top_p=settings.top_p if request.top_p is None else request.top_p,
        top_k=request.top_k or 0,
        seed=int.from_bytes(os.urandom(7)) if request.seed is None else request.seed,
        repeats=temperature == 0 or request.seed is not None,
        bias=_bias(request.logit_bias or {}, n_vocab),
    )


def seed_of(seed: int, place: int) -> int:
    """A seed of 32 bits for the draw of the token at this place of an answer."""
    return xxhash.xxh32_intdigest(struct.pack("<QQ", seed, place))


def _bias(given: Mapping[str, float], n_vocab: int) -> dict[int, float]:
    for name in given:
        if not (name.isascii() and name.isdigit() and int(name) < n_vocab):
            raise InvalidRequest(
                f"logit_bias: {name[:40]!r} is no token of this model; "
                f"it takes token ids from 0 to {n_vocab - 1} as text."
            )
    return {int(name): bias for name, bias in given.items()}
