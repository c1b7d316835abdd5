"""Whether the instances of a machine fit into its memory: the arithmetic, before anything starts.

Each instance is a process with a model of its own, so it takes weights, the KV cache of its context
and buffers, all times the number of instances. docs/fit.md has it for an 8B model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.errors import DoesNotFit

GB = 1e9
PROCESS_BYTES = 100_000_000  # worker and child of one instance without a model: 72 MB, measured
TORCH_PROCESS_BYTES = 430_000_000  # the same with torch, transformers and bitsandbytes, measured
CUDA_CONTEXT_BYTES = 500_000_000  # what a process takes of a GPU before it loads anything
BATCH = 512


@dataclass(frozen=True, slots=True)
class Model:
    """What memory depends on; a 0 is not known. ``heads`` are those of the queries."""

    weight_bytes: int
    kv_bytes_per_token: int
    heads: int = 0
    embedding: int = 0
    vocabulary: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """What one instance takes, bytes."""

    weights: int
    kv_cache: int
    overhead: int
    ctx_tokens: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.overhead


@dataclass(frozen=True, slots=True)
class Group:
    """Like instances; ``need`` None: not known, and ``why``."""

    count: int
    label: str
    need: Need | None
    why: str = ""


def need_of(
    model: Model,
    ctx_tokens: int,
    *,
    on_cuda: bool = False,
    flash_attention: bool = False,
    batch: int = BATCH,
    process_bytes: int = PROCESS_BYTES,
) -> Need:
    """What one instance of a model takes with a context of this length."""
    return Need(
        weights=model.weight_bytes,
        kv_cache=model.kv_bytes_per_token * ctx_tokens,
        overhead=compute_bytes(model, ctx_tokens, flash_attention=flash_attention, batch=batch)
        + (CUDA_CONTEXT_BYTES if on_cuda else process_bytes),
        ctx_tokens=ctx_tokens,
    )


def compute_bytes(
    model: Model, ctx_tokens: int, *, flash_attention: bool = False, batch: int = BATCH
) -> int:
    """The buffer in which a batch of the prompt is computed, as llama.cpp allocates it.

    The larger of two steps: attention's scores, a number for each head, token of the batch and
    token of the context, with the mask (flash attention has the mask only, in 16 bits); or the
    logits, a number for each token of the batch and of the vocabulary. A test holds this against
    llama.cpp's own figure.
    """
    batch = min(batch, ctx_tokens)
    scores = 2 * ctx_tokens if flash_attention else 4 * ctx_tokens * (model.heads + 1)
    logits = 4 * (model.vocabulary + model.embedding)
    return batch * max(scores + 16 * model.embedding, logits)


@dataclass(frozen=True, slots=True)
class Fit:
    """Instances that share one memory: ``place`` (RAM, VRAM), bytes that are ``available`` there;
    None: not known.
    """

    place: str
    available: int | None
    groups: Sequence[Group]

    @property
    def needed(self) -> int:
        """Bytes of all instances of which it is known."""
        return sum(group.count * group.need.total for group in self.groups if group.need)

    @property
    def known(self) -> bool:
        """Whether anything can be said."""
        return self.available is not None and any(group.need for group in self.groups)

    @property
    def fits(self) -> bool:
        """False only if it is known that they do not."""
        return self.available is None or self.needed <= self.available

    def lines(self) -> list[str]:
        """The arithmetic, to be read."""
        said = []
        for group in self.groups:
            said.append(f"{group.count} × {group.label} in {self.place}")
            said += _lines(group.need) if group.need else [f"  not known: {group.why}"]
        if any(group.need for group in self.groups):
            said.append(_line(f"all in {self.place}", self.needed))
            left = "not known" if self.available is None else f"{_gb(self.available)} GB"
            said.append(f"{'available':<32}{left:>12}{'' if self.fits else '   too little'}")
        return said

    def require(self) -> None:
        """Refuses instances that do not fit.

        Raises:
            DoesNotFit: with the arithmetic in its sentence.
        """
        if self.fits:
            return
        count = sum(group.count for group in self.groups if group.need)
        raise DoesNotFit(
            place=self.place,
            instances=count,
            needed_gb=round(self.needed / GB, 1),
            available_gb=round((self.available or 0) / GB, 1),
            arithmetic=self.lines(),
        )


def _lines(need: Need) -> list[str]:
    return [
        _line("  weights", need.weights),
        _line(f"  KV cache of {need.ctx_tokens:,} tokens", need.kv_cache),
        _line("  buffers and the process", need.overhead),
        _line("  one instance", need.total),
    ]


def _line(name: str, size: int) -> str:
    return f"{name:<32}{_gb(size):>9} GB"


def _gb(size: int) -> str:
    return f"{size / GB:,.2f}"
