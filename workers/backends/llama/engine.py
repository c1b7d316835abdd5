"""One model and one context of llama.cpp, by the functions of its C header.

Lower than llama-cpp-python's class ``Llama``, which has room for a row of logits for each token of
a batch, draws from a random generator whose state cannot be taken up again, and compiles the
model's chat template on its own.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_cpp import llama_cpp as lib

from ledger.errors import BackendError
from workers.backends.llama.log import LlamaLog
from workers.backends.local.engine import Chosen, Sampler, one_by_one

Logits = npt.NDArray[np.float32]

ALL_LAYERS = 0x7FFFFFFF
SEQUENCE = 0  # the one sequence that this context has


def offloads(n_gpu_layers: int) -> bool:
    """True if layers go to a GPU: some are to, and the library was built for one."""
    return n_gpu_layers != 0 and bool(lib.llama_supports_gpu_offload())


def failed(message: str) -> BackendError:
    """An error of this backend; the same request would meet it again."""
    return BackendError(message, backend="llama_cpp", retriable=False)


class Engine:
    """Reads tokens and says how likely each next one is.

    ``tokens`` is what its KV cache holds. ``read_tokens`` counts what was ever evaluated.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int,
        n_batch: int,
        n_threads: int,
        n_gpu_layers: int,
        flash_attn: bool | None,
        verbose: bool,
    ) -> None:
        """Loads the model.

        Args:
            path: its file.
            n_ctx: tokens of context.
            n_batch: tokens read in one step, at most.
            n_threads: of the CPU.
            n_gpu_layers: layers on the GPU, -1 for all.
            flash_attn: None leaves it to llama.cpp on a GPU, and is no on the CPU.
            verbose: llama.cpp's log goes to ours.

        Raises:
            BackendError: llama.cpp could not; with its own reason.
        """
        self.tokens: list[int] = []
        self.read_tokens = 0
        self._model = self._ctx = None
        self._log = LlamaLog(verbose=verbose)
        # Where it must end the process, it would have a debugger print all values to the log.
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")
        lib.llama_backend_init()
        model_params = lib.llama_model_default_params()
        model_params.n_gpu_layers = ALL_LAYERS if n_gpu_layers < 0 else n_gpu_layers
        self._model = lib.llama_model_load_from_file(str(path).encode(), model_params)
        if not self._model:
            raise self._could_not_load(path)
        params = lib.llama_context_default_params()
        params.n_ctx = self._n_ctx = n_ctx
        params.n_batch = params.n_ubatch = self.n_batch = min(n_batch, n_ctx)
        params.n_threads = params.n_threads_batch = n_threads
        params.no_perf = True
        if flash_attn is None and not offloads(n_gpu_layers):
            # On the CPU it gives other results for a batch than for its tokens one by one, so
            # text would depend more than it must on what the KV cache happened to have.
            flash_attn = False
        if flash_attn is not None:
            params.flash_attn_type = int(flash_attn)
        self._ctx = lib.llama_init_from_model(self._model, params)
        if not self._ctx:
            raise self._could_not_load(path)
        self._memory = lib.llama_get_memory(self._ctx)
        self.vocab = lib.llama_model_get_vocab(self._model)
        self.n_vocab = int(lib.llama_vocab_n_tokens(self.vocab))
        self._adds_bos = bool(lib.llama_vocab_get_add_bos(self.vocab))
        self.bos, self.eos = self._name(lib.llama_vocab_bos), self._name(lib.llama_vocab_eos)

    @property
    def why(self) -> str:
        """llama.cpp's last complaint, without its full stop; empty if it had none."""
        return self._log.why.strip().rstrip(".")[:300]

    def _could_not_load(self, path: Path) -> BackendError:
        why = self.why or "llama.cpp gave no reason"
        self.close()
        return failed(f"{path.name} could not be loaded: {why}.")

    def _name(self, which: Any) -> str:
        token = which(self.vocab)
        return "" if token < 0 else lib.llama_vocab_get_text(self.vocab, token).decode()

    @property
    def chat_template(self) -> str | None:
        """The model's own, in Jinja."""
        found = lib.llama_model_chat_template(self._model, None)
        return None if found is None else found.decode(errors="replace")

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The model's tokens for the text.

        Args:
            text: anything.
            special: the text is a whole prompt: it gets the model's first token, and the names of
                control tokens in it are these tokens.
        """
        if special and self._adds_bos and self.bos:
            text = text.removeprefix(self.bos)  # a template that writes it, too
        data = text.encode()
        room = len(data) + 8
        while True:
            into = (lib.llama_token * room)()
            count = lib.llama_tokenize(self.vocab, data, len(data), into, room, special, special)
            if count >= 0:
                return list(into[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """The bytes of a token; none for a control token."""
        room = 64
        while True:
            into = ctypes.create_string_buffer(room)
            count = lib.llama_token_to_piece(self.vocab, token, into, room, 0, False)
            if count >= 0:
                return into.raw[:count]
            room = -count

    def bytes_of(self, tokens: Iterable[int]) -> bytes:
        """The bytes of some tokens in a row."""
        return b"".join(map(self.piece, tokens))

    @property
    def room(self) -> int:
        """Tokens that can be read in one step now."""
        return min(self.n_batch, self._n_ctx - len(self.tokens))

    def ends(self, token: int) -> bool:
        """True for a token with which the model ends its answer."""
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

    def read(self, tokens: Sequence[int], *, all_logits: bool = False) -> None:
        """Evaluates at most a batch of tokens behind those it has.

        Args:
            tokens: 1 to ``room`` of them.
            all_logits: logits are wanted behind each of them, not only behind the last.

        Raises:
            BackendError: llama.cpp could not.
        """
        self._log.clear()
        count = len(tokens)
        ids = (lib.llama_token * count)(*tokens)  # the batch points to it and does not own it
        batch = lib.llama_batch_get_one(ids, count)
        if all_logits:
            batch.logits = (ctypes.c_int8 * count)(*[1] * count)
        code = lib.llama_decode(self._ctx, batch)
        if code != 0:
            why = self.why or f"llama_decode returned {code}"
            self.clear()
            raise failed(f"The model could not read its context: {why}.")
        self.tokens += tokens
        self.read_tokens += count

    def extend(self, tokens: Sequence[int], stop: threading.Event) -> bool:
        """Evaluates any number of tokens, batch by batch; False if it was told to stop."""
        for start in range(0, len(tokens), self.n_batch):
            if stop.is_set():
                return False
            self.read(tokens[start : start + self.n_batch])
        return True

    @property
    def evaluated(self) -> int:
        """llama.cpp's own count of ``read_tokens``; up to two more as long as it has read few."""
        perf = lib.llama_perf_context(self._ctx)
        return int(perf.n_p_eval + perf.n_eval)

    def logits(self, index: int = -1) -> Logits:
        """One number per token of the vocabulary, valid until the next :meth:`read`.

        Args:
            index: of the token in the last batch behind which they are wanted.
        """
        row = lib.llama_get_logits_ith(self._ctx, index)
        if not row:
            raise failed("The model has no logits for its last token.")
        return np.ctypeslib.as_array(row, shape=(self.n_vocab,))

    def plain(self, logits: Logits) -> Logits:
        """They are numpy's."""
        return logits

    def chosen(self, sampler: Sampler, place: int) -> Chosen:
        """Token after token; see :class:`workers.backends.local.engine.Engine`."""
        return one_by_one(self, sampler, place)

    def truncate(self, length: int) -> None:
        """Forgets all tokens but the first ``length``; recurrent models forget all of them."""
        if length >= len(self.tokens):
            return
        kept = self.tokens[:length]
        if length and lib.llama_memory_seq_rm(self._memory, SEQUENCE, length, -1):
            self.tokens = kept
        else:
            self.clear()

    def clear(self) -> None:
        """Forgets everything. What the cache's memory holds is out of reach from then on."""
        lib.llama_memory_clear(self._memory, False)
        self.tokens = []

    def state_bytes(self) -> int:
        """Size of what :meth:`save` returns."""
        return int(lib.llama_state_seq_get_size(self._ctx, SEQUENCE))

    def save(self) -> Any:
        """The KV cache, to be given to :meth:`restore`; a ctypes array of bytes."""
        size = self.state_bytes()
        data = (ctypes.c_uint8 * size)()
        lib.llama_state_seq_get_data(self._ctx, data, size, SEQUENCE)
        return data

    def restore(self, tokens: Sequence[int], data: Any) -> None:
        """Puts back what :meth:`save` returned when the cache held ``tokens``."""
        self.clear()
        if lib.llama_state_seq_set_data(self._ctx, data, len(data), SEQUENCE):
            self.tokens = list(tokens)
        else:
            self.clear()

    def close(self) -> None:
        """Gives the memory back."""
        if self._ctx:
            lib.llama_free(self._ctx)
        if self._model:
            lib.llama_model_free(self._model)
        self._ctx = self._model = None
        self._log.close()
