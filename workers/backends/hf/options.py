"""What an instance's table in ``apexq.toml`` may say to the backend ``hf``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.backends.local.options import LocalOptions

Quantization = Literal["nf4", "int8", "none"]


class HfOptions(LocalOptions):
    """The backend's own settings.

    ``device``: ``cpu``, ``cuda:1``, ``mps``; None for a GPU by the instance's place among its like,
    or the CPU where there is none. ``quantization``: by bitsandbytes; None is ``nf4`` on CUDA and
    ``none`` elsewhere, and for a model that is quantised already its own. ``dtype``: what is
    computed in; ``auto`` is the model's own, but never 32 bits on CUDA. ``adapters``: LoRA
    adapters, all of them at work at once; folders or names on the hub. ``n_threads``: of the CPU;
    None shares the cores among the instances. ``chat_format``: None for the model's own template,
    ``raw`` for none. A preemption waits for one layer of ``n_batch``, and other sessions' contexts
    are kept in the machine's memory.
    """

    device: str | None = Field(default=None, pattern=r"^(cpu|mps|cuda(:\d+)?)$")
    quantization: Quantization | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    adapters: tuple[str, ...] = ()
    n_threads: int | None = Field(default=None, ge=1, le=1024)
    chat_format: Literal["raw"] | None = None
