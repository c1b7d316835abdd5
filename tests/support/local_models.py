"""Libraries that run a model in the process, each with a tiny random model in its format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ledger.messages import Request
from tests.support import tiny_gguf
from tests.support.loaded import created, text_of, tokens_of
from workers.backends import Backend, Piece, Run


@dataclass(frozen=True)
class Library:
    """A library, and how much of its answers there is time for.

    ``table``: of an instance. ``tiny``: what writes its model. ``begins``: its tokenizer itself
    begins a prompt with a token. ``ahead``: it has read the last token of an answer, too, when that
    ends. ``modules``: what is not imported before the model is loaded.
    ``tokens``: of an answer that is gone on from, in ``cuts`` places at most, or a ``few``.
    ``turn``: tokens of one answer among many.
    """

    table: dict[str, Any]
    tiny: ModuleType
    begins: bool
    ahead: bool
    modules: tuple[str, ...]
    tokens: int
    cuts: int
    turn: int

    @property
    def few(self) -> int:
        """Places, where each costs more time."""
        return self.cuts // 2

    def write(self, folder: Path, name: str = "tiny", **options: Any) -> Path:
        """Writes the model into the folder."""
        file = f"{name}.gguf" if self.tiny is tiny_gguf else name
        written: Path = self.tiny.write(folder / file, **options)
        return written

    def created(
        self, model: Path | str | None, *, ctx_tokens: int = 4096, **options: Any
    ) -> Backend:
        """The backend of an instance with this model and these options, not loaded."""
        table = {**self.table, "model": model and str(model), **options}
        return created(table, ctx_tokens=ctx_tokens)


def llama_cpp() -> Library:
    pytest.importorskip("llama_cpp")
    return Library(
        table={"backend": "llama_cpp", "n_threads": 1},
        tiny=tiny_gguf,
        begins=True,
        ahead=False,
        modules=("llama_cpp", "numpy"),
        tokens=150,
        cuts=300,  # all of them
        turn=60,
    )


def hf(quantization: str = "none", tokens: int = 60) -> Library:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.support import tiny_safetensors

    table = {"backend": "hf", "device": "cpu", "n_threads": 1, "quantization": quantization}
    return Library(
        table=table,
        tiny=tiny_safetensors,
        begins=False,
        ahead=False,
        modules=("torch", "transformers", "bitsandbytes", "peft"),
        tokens=tokens,
        cuts=22,
        turn=15,
    )


def hf_nf4() -> Library:
    pytest.importorskip("bitsandbytes")
    return hf("nf4", tokens=40)


def mlx() -> Library:
    pytest.importorskip("mlx_lm")
    from tests.support import tiny_safetensors

    return Library(
        table={"backend": "mlx"},
        tiny=tiny_safetensors,
        begins=False,
        ahead=True,
        modules=("mlx.core", "mlx_lm", "transformers", "numpy"),
        tokens=40,
        cuts=40,
        turn=15,
    )


LIBRARIES = {each.__name__: each for each in (llama_cpp, hf, hf_nf4, mlx)}


def asked(prompt: str = "hello", **options: Any) -> Request:
    """A request for a greedy answer, unless it says otherwise."""
    given = {"prompt": prompt, "agent_id": "Coder", "temperature": 0, "max_tokens": 60, **options}
    if "messages" in options:
        del given["prompt"]
    return Request(**given)


def answer(backend: Backend, request: Request, after: str = "", made: int = 0) -> list[Piece]:
    """All of it, or the rest after a text of as many tokens."""
    return list(backend.stream(Run(request, request.max_tokens - made, after)))


def places(pieces: list[Piece], most: int | None = None) -> range:
    """Numbers of pieces after which an answer may be cut, all of them or ``most``."""
    every = 1 if most is None else max(1, math.ceil((len(pieces) - 1) / most))
    return range(1, len(pieces), every)


def cuts(pieces: list[Piece], most: int | None = None) -> Iterator[tuple[str, int]]:
    """The text and its tokens at each of these places."""
    for count in places(pieces, most):
        yield text_of(pieces[:count]), tokens_of(pieces[:count])


def grammar(source: str) -> dict[str, str]:
    """A ``response_format``."""
    return {"type": "grammar", "grammar": source}
