"""What an instance's table in ``apexq.toml`` may say to the backend ``hf``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.backends.options import BackendOptions

Quantization = Literal["nf4", "int8", "none"]


class HfOptions(BackendOptions):
    """The backend's own settings.

    ``device``: ``cpu``, ``cuda:1``, ``mps``; None for a GPU by the instance's place among its like,
    or the CPU where there is none. ``quantization``: by bitsandbytes; None is ``nf4`` on CUDA and
    ``none`` elsewhere, and for a model that is quantised already its own. ``dtype``: what is
    computed in; ``auto`` is the model's own, but never 32 bits on CUDA. ``adapters``: LoRA
    adapters, all of them at work at once; folders or names on the hub. ``n_threads``: of the CPU;
    None shares the cores among the instances. ``n_batch``: prompt tokens read in one step; a
    preemption waits for one layer of it. ``resume_batch``: the same for a partial answer that is
    taken up from its text; with 1 it goes on exactly as an uninterrupted one. ``chat_format``: None
    for the model's own template, ``raw`` for none. ``kept_mib``, ``kept_states``: how much of other
    sessions' contexts is kept, in the machine's memory, so that they are not read again.
    """

    device: str | None = Field(default=None, pattern=r"^(cpu|mps|cuda(:\d+)?)$")
    quantization: Quantization | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    adapters: tuple[str, ...] = ()
    n_threads: int | None = Field(default=None, ge=1, le=1024)
    n_batch: int = Field(default=512, ge=1, le=65_536)
    resume_batch: int = Field(default=1, ge=1, le=512)
    chat_format: Literal["raw"] | None = None
    kept_mib: int = Field(default=512, ge=0)
    kept_states: int = Field(default=16, ge=0)
