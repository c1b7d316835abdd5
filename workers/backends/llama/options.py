"""What an instance's table in ``apexq.toml`` may say to llama.cpp."""

from __future__ import annotations

from pydantic import Field

from ledger.settings import InstanceSpec, Settings
from workers.backends import options
from workers.backends.options import BackendOptions


class LlamaOptions(BackendOptions):
    """The backend's own settings.

    ``n_gpu_layers``: layers on the GPU, -1 for all, where the library was built for one.
    ``n_threads``: None shares the cores among the instances. ``n_batch``: prompt tokens read in one
    step; a preemption waits for one step. ``resume_batch``: the same for a partial answer that is
    taken up from its text; with 1 it goes on exactly as an uninterrupted one. ``flash_attn``: None
    for what suits the device. ``chat_format``: None for the model's own template, ``raw`` for none,
    or a template that llama.cpp has by name, such as ``chatml``. ``kept_mib``, ``kept_states``: how
    much of other sessions' contexts is kept, so that they are not read again. ``verbose``:
    llama.cpp's own log goes to the worker's.
    """

    n_gpu_layers: int = Field(default=-1, ge=-1)
    n_threads: int | None = Field(default=None, ge=1, le=1024)
    n_batch: int = Field(default=512, ge=1, le=65_536)
    resume_batch: int = Field(default=1, ge=1, le=512)
    flash_attn: bool | None = None
    chat_format: str | None = Field(default=None, min_length=1)
    kept_mib: int = Field(default=512, ge=0)
    kept_states: int = Field(default=16, ge=0)
    verbose: bool = False


def parse(spec: InstanceSpec) -> LlamaOptions:
    """The instance's options.

    Raises:
        InvalidSetting: one is unknown or has a bad value.
    """
    return options.parse(spec, LlamaOptions)


def threads(own: LlamaOptions, settings: Settings) -> int:
    """Threads of one instance: as told, or this process's cores shared among all its like."""
    return options.threads(own.n_threads, "llama_cpp", settings)
