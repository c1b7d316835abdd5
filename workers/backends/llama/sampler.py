"""Chooses the next token of one answer.

The draw for a token depends on the seed and on the token's place in the answer, not on the state of
a generator: an answer that is taken up in another process goes on as if nothing had happened.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as lib

from workers.backends.llama.engine import Engine, Logits, failed
from workers.backends.local.choice import Choice, seed_of

RANDOM_SEED = 0xFFFFFFFF  # llama.cpp takes this one for "any"
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """A chain of llama.cpp's samplers and, where there is one, a grammar in front of it."""

    def __init__(self, engine: Engine, choice: Choice, grammar: Any = None) -> None:
        """
        Args:
            engine: whose vocabulary is chosen from.
            choice: how.
            grammar: of :func:`workers.backends.llama.grammar.compile_grammar`; freed with this.
        """
        self._choice, self._grammar = choice, grammar
        self._candidates = np.zeros(engine.n_vocab, _CANDIDATE)
        self._ids = np.arange(engine.n_vocab, dtype=np.int32)
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if choice.bias:
            pairs = [lib.llama_logit_bias(token, bias) for token, bias in choice.bias.items()]
            array = (lib.llama_logit_bias * len(pairs))(*pairs)
            self._add(lib.llama_sampler_init_logit_bias(engine.n_vocab, len(pairs), array))
        if choice.temperature == 0:
            self._add(lib.llama_sampler_init_greedy())
        else:
            self._add(lib.llama_sampler_init_top_k(choice.top_k))
            self._add(lib.llama_sampler_init_top_p(choice.top_p, 1))
            self._add(lib.llama_sampler_init_temp(choice.temperature))

    def choose(self, logits: Logits, place: int) -> int:
        """The next token.

        Args:
            logits: of the whole vocabulary.
            place: how many tokens the answer has so far.

        Raises:
            BackendError: the grammar allows no token of this vocabulary.
        """
        token, _ = self._pick(logits, place, constrained=False)
        if self.allows(token):
            return token
        token, logit = self._pick(logits, place, constrained=True)
        if logit == -math.inf:
            raise failed("The grammar allows none of the model's tokens here; change it.")
        return token

    def allows(self, token: int) -> bool:
        """True if the grammar lets this token be next."""
        if self._grammar is None:
            return True
        one = lib.llama_token_data(token, 0.0, 0.0)
        array = lib.llama_token_data_array(ctypes.pointer(one), 1, -1, False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(array))
        return bool(one.logit != -math.inf)

    def accept(self, token: int) -> None:
        """Tells the grammar what the next token is.

        Raises:
            BackendError: the grammar does not allow it.
        """
        if self._grammar is not None:
            if not self.allows(token):  # llama.cpp would end the process
                raise failed("The text so far does not fit the request's grammar.")
            lib.llama_sampler_accept(self._grammar, token)

    def reset(self) -> None:
        """The answer begins anew."""
        if self._grammar is not None:
            lib.llama_sampler_reset(self._grammar)

    def close(self) -> None:
        """Gives the memory back."""
        lib.llama_sampler_free(self._chain)
        if self._grammar is not None:
            lib.llama_sampler_free(self._grammar)

    def _add(self, sampler: Any) -> None:
        lib.llama_sampler_chain_add(self._chain, sampler)

    def _pick(self, logits: Logits, place: int, *, constrained: bool) -> tuple[int, float]:
        """The chosen token and its logit."""
        self._candidates["id"], self._candidates["logit"] = self._ids, logits
        start = self._candidates.ctypes.data_as(ctypes.POINTER(lib.llama_token_data))
        array = lib.llama_token_data_array(start, len(self._candidates), -1, False)
        if constrained:
            lib.llama_sampler_apply(self._grammar, ctypes.byref(array))
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        if self._choice.temperature > 0:
            draw = lib.llama_sampler_init_dist(seed_of(self._choice.seed, place) % RANDOM_SEED)
            lib.llama_sampler_apply(draw, ctypes.byref(array))
            lib.llama_sampler_free(draw)
        chosen = array.data[array.selected]
        return int(chosen.id), float(chosen.logit)
