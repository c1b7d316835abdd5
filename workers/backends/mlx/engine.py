"""One model and one KV cache of mlx-lm."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache

from ledger.errors import BackendError
from workers.backends.local.engine import Chosen, Sampler
from workers.backends.local.first_line import first_line
from workers.backends.local.vocabulary import Vocabulary
from workers.backends.mlx.sampler import MlxSampler


class MlxEngine(Vocabulary):
    """Reads tokens and says how likely each next one is.

    ``tokens`` is what its KV cache holds. ``read_tokens`` counts what was ever evaluated. Logits
    are natural logarithms of probabilities here, an ``mx.array`` of the model's own precision.
    """

    def __init__(
        self, model: Any, vocabulary: dict[str, Any], *, n_vocab: int, n_ctx: int, n_batch: int
    ) -> None:
        """
        Args:
            model: as mlx-lm loads it.
            vocabulary: what :class:`Vocabulary` is made of.
            n_vocab: numbers that the model gives for a place.
            n_ctx: tokens of context.
            n_batch: tokens read in one step, at most.
        """
        super().__init__(**vocabulary)
        self.tokens: list[int] = []
        self.read_tokens = 0
        self.n_vocab, self.n_batch = n_vocab, min(n_batch, n_ctx)
        self._model, self._n_ctx = model, n_ctx
        self._cache = make_prompt_cache(model)
        self._logits = mx.zeros((0, n_vocab))

    @property
    def room(self) -> int:
        """Tokens that can be read in one step now."""
        return min(self.n_batch, self._n_ctx - len(self.tokens))

    def read(self, tokens: Sequence[int], *, all_logits: bool = False) -> None:
        """Evaluates at most a batch of tokens behind those it has.

        Args:
            tokens: 1 to ``room`` of them.
            all_logits: logits are wanted behind each of them, not only behind the last.

        Raises:
            BackendError: MLX could not.
        """
        with self._told():
            logits = self._run(tokens)
            self._logits = _normalised(logits if all_logits else logits[-1:])
            mx.eval(self._logits)

    def extend(self, tokens: Sequence[int], stop: threading.Event) -> bool:
        """Evaluates any number of tokens, batch by batch and the last one alone, as mlx-lm does;
        False if it was told to stop.
        """
        *most, last = tokens
        for start in range(0, len(most), self.n_batch):
            if stop.is_set():
                return False
            with self._told():
                self._run(most[start : start + self.n_batch])
                mx.eval([layer.state for layer in self._cache])
            mx.clear_cache()
        if stop.is_set():
            return False
        self.read([last])
        return True

    def logits(self, index: int = -1) -> mx.array:
        """Those behind a token of the last batch."""
        return self._logits[index]

    def plain(self, logits: mx.array) -> npt.NDArray[Any]:
        """The same for numpy."""
        return np.array(logits.astype(mx.float32))

    def chosen(self, sampler: Sampler, place: int) -> Chosen:
        """Token after token; see :class:`~workers.backends.local.engine.Engine`. mlx-lm begins to
        read each of them before it is handed out, so that the device does not wait.
        """
        following = cast(MlxSampler, sampler).from_place(place + 1)
        logits = self.logits()
        first = sampler.choose(logits, place)
        yield first, logits
        steps = generate_step(
            mx.array([first]),
            self._model,
            max_tokens=-1,
            sampler=following,
            prompt_cache=self._cache,
        )
        read = [first]
        with closing(steps), self._told():
            for token, logits in steps:
                read.append(token)
                self._took(read)
                read = []
                yield token, logits

    def truncate(self, length: int) -> None:
        """Forgets all tokens but the first ``length``. Some models' caches cannot do that (those of
        recurrent ones, and sliding windows that are full): they forget everything.
        """
        beyond = len(self.tokens) - length
        if beyond <= 0:
            return
        kept = self.tokens[:length]
        if length and can_trim_prompt_cache(self._cache):
            trim_prompt_cache(self._cache, beyond)
            self.tokens = kept
        else:
            self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self._cache = make_prompt_cache(self._model)
        self.tokens = []
        mx.clear_cache()

    def state_bytes(self) -> int:
        """Size of what :meth:`save` returns."""
        return sum(int(layer.nbytes) for layer in self._cache)

    def save(self) -> Any:
        """The KV cache itself; :meth:`clear` puts a new one in its place."""
        return self._cache

    def restore(self, tokens: Sequence[int], data: Any) -> None:
        """Puts back what :meth:`save` returned when the cache held ``tokens``."""
        self._cache, self.tokens = data, list(tokens)

    def close(self) -> None:
        """Gives the memory back."""
        self._model = self._cache = self._logits = None
        mx.clear_cache()

    def _run(self, tokens: Sequence[int]) -> mx.array:
        """Their logits, which are not computed before they are evaluated."""
        logits = self._model(mx.array(tokens)[None], cache=self._cache)[0]
        self._took(tokens)
        return logits

    def _took(self, tokens: Sequence[int]) -> None:
        self.tokens += tokens
        self.read_tokens += len(tokens)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Makes one sentence of MLX's own reason; what the cache holds is not known then."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            self.clear()
            said = first_line(error)
            raise BackendError(
                f"The model could not read its context: {said}.",
                backend="mlx",
                said=said,
                retriable=False,
            ) from error


def _normalised(logits: mx.array) -> mx.array:
    """As in mlx-lm's own loop, so that both choose alike."""
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)
