"""One model of transformers and one KV cache: tokens in, the chances of the next one out.

Lower than the library's ``generate``, which takes a whole prompt and gives a whole answer: here a
cache is kept, cut and taken up again, and whoever drives it may stop between any two tokens.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ledger.errors import BackendError
from workers.backends.hf.cache import HfCache, Stopped
from workers.backends.local.engine import Chosen, Sampler, one_by_one
from workers.backends.local.first_line import first_line
from workers.backends.local.vocabulary import Vocabulary, ends_of


def failed(message: str) -> BackendError:
    """An error of this backend; the same request would meet it again."""
    return BackendError(message, backend="hf", retriable=False)


class HfEngine(Vocabulary):
    """Reads tokens and says how likely each next one is.

    ``tokens`` is what its KV cache holds. ``read_tokens`` counts what was ever evaluated.
    ``end_tokens`` end an answer.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, n_ctx: int, n_batch: int, templated: bool
    ) -> None:
        """
        Args:
            model: of transformers, loaded.
            tokenizer: its own, a fast one.
            n_ctx: tokens of context.
            n_batch: tokens read in one step, at most.
            templated: prompts come out of a chat template, which writes control tokens itself.

        Raises:
            BackendError: the tokenizer is of a kind whose tokens cannot be told apart in bytes, or
                the model's state cannot be kept from one step to the next.
        """
        self.end_tokens = ends_of(model.generation_config.eos_token_id, tokenizer)
        super().__init__(tokenizer, ends=self.end_tokens, templated=templated, backend="hf")
        self.tokens: list[int] = []
        self.read_tokens = 0
        self.n_vocab = int(model.config.get_text_config(decoder=True).vocab_size)
        self._model, self._n_ctx, self._n_batch = model, n_ctx, n_batch
        takes = inspect.signature(model.forward).parameters
        if "past_key_values" not in takes:  # it would read each token as if it were the first
            kind = model.config.model_type
            raise failed(f"Models of the kind {kind!r} have no KV cache that hf could keep.")
        self._keeps_last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._logits = torch.empty(0)
        self.clear()

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return torch.device(self._model.device)

    @property
    def room(self) -> int:
        """Tokens that can be read in one step now."""
        return min(self._n_batch, self._n_ctx - len(self.tokens))

    def read(self, tokens: Sequence[int], *, all_logits: bool = False) -> None:
        """Evaluates at most a batch of tokens behind those it has.

        Args:
            tokens: 1 to ``room`` of them.
            all_logits: logits are wanted behind each of them, not only behind the last.

        Raises:
            BackendError: the library could not; out of memory, mostly.
        """
        ids = torch.tensor([list(tokens)], device=self.device)
        keeps = {} if all_logits else self._keeps_last
        try:
            with torch.inference_mode():
                read = self._model(
                    input_ids=ids, past_key_values=self._cache, use_cache=True, **keeps
                )
        except torch.AcceleratorError:
            raise  # see HfModel.stream
        except (RuntimeError, MemoryError) as error:
            complaint = why(error)
        else:
            self._logits = read.logits[0]
            self.tokens += tokens
            self.read_tokens += len(tokens)
            return
        # Only here, where the error is gone, does nothing hold what its frames had in memory; the
        # cache itself is in the hands of whoever reads a prompt.
        self._cache.layers.clear()
        self.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # for the other instances on this GPU
        raise failed(f"The model could not read its context: {complaint}.")

    def extend(self, tokens: Sequence[int], stop: threading.Event) -> bool:
        """Evaluates any number of tokens, batch by batch; False if it was told to stop, which it
        hears between two layers.
        """
        for start in range(0, len(tokens), self._n_batch):
            try:
                with self._cache.heeding(stop):
                    self.read(tokens[start : start + self._n_batch])
            except Stopped:
                if not self._cache.cut(len(self.tokens)):
                    self.clear()
                return False
        return True

    def logits(self, index: int = -1) -> torch.Tensor:
        """One number per token of the vocabulary, behind a token of the last batch."""
        return self._logits[index]

    def plain(self, logits: torch.Tensor) -> npt.NDArray[np.float32]:
        """The same for numpy."""
        found: npt.NDArray[np.float32] = logits.float().cpu().numpy()
        return found

    def chosen(self, sampler: Sampler, place: int) -> Chosen:
        """Token after token; see :class:`workers.backends.local.engine.Engine`."""
        return one_by_one(self, sampler, place)

    def truncate(self, length: int) -> None:
        """Forgets all tokens but the first ``length``; all, where a layer cannot do that."""
        if length >= len(self.tokens):
            return
        kept = self.tokens[:length]
        if length and self._cache.cut(length):
            self.tokens = kept
        else:
            self.clear()

    def clear(self) -> None:
        """Forgets everything; nothing has a way to the old cache from then on."""
        self._cache = HfCache(config=self._model.config.get_text_config(decoder=True))
        self.tokens = []

    def state_bytes(self) -> int:
        """Size of what :meth:`save` returns."""
        return self._cache.size

    def save(self) -> HfCache:
        """The KV cache itself, in the machine's memory; to be followed by :meth:`clear`."""
        self._cache.to_memory()
        return self._cache

    def restore(self, tokens: Sequence[int], data: HfCache) -> None:
        """Puts back what :meth:`save` returned when the cache held ``tokens``. Where the GPU has no
        room for it all at once, the context is read anew.
        """
        try:
            data.to_device()
        except torch.OutOfMemoryError:
            self.clear()
            return
        self._cache, self.tokens = data, list(tokens)

    def close(self) -> None:
        """Gives the memory back."""
        self.clear()
        self._model = self._logits = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def why(error: Exception) -> str:
    """What a library says, in short."""
    said = first_line(error)
    lacking = any(one in said for one in ("out of memory", "allocate memory"))
    if lacking or isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out of memory"
    return said
