"""llama.cpp's own log: kept from the terminal, its last errors kept for our sentences."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from typing import Any

from llama_cpp import llama_cpp as lib

log = logging.getLogger(__name__)

ERROR = 4  # enum ggml_log_level
STDERR = 2


_DROP = lib.llama_log_callback(lambda level, text, user_data: None)


class LlamaLog:
    """Takes llama.cpp's log, of which there is one in a process, until it is closed."""

    def __init__(self, *, verbose: bool = False) -> None:
        self.errors: deque[str] = deque(maxlen=20)
        self._verbose = verbose
        # Kept here: C calls it for as long as it is set.
        self._callback = lib.llama_log_callback(self._take)
        lib.llama_log_set(self._callback, None)

    @property
    def why(self) -> str:
        """What went wrong, in llama.cpp's words, or an empty text."""
        telling = [line for line in self.errors if "error loading model" in line]
        return (telling or list(self.errors) or [""])[0]

    def clear(self) -> None:
        """Forgets earlier errors."""
        self.errors.clear()

    def close(self) -> None:
        """Gives the log back."""
        lib.llama_log_set(_DROP, None)

    def _take(self, level: int, text: bytes, user_data: Any) -> None:
        line = text.decode(errors="replace").strip()
        if level == ERROR and line:
            # "llama_model_load: error loading model: tensor …" without the function's name
            self.errors.append(line.partition(": ")[2] or line)
        if self._verbose and line:
            log.info("%s", line)


@contextlib.contextmanager
def stderr_taken() -> Iterator[list[str]]:
    """What C prints to stderr meanwhile; the list is filled at the end."""
    said: list[str] = []
    kept = os.dup(STDERR)
    with tempfile.TemporaryFile() as taken:
        os.dup2(taken.fileno(), STDERR)
        try:
            yield said
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            taken.seek(0)
            said += taken.read().decode(errors="replace").splitlines()
