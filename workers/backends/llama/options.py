"""What an instance's table in ``apexq.toml`` may say to llama.cpp."""

from __future__ import annotations

from pydantic import Field

from workers.backends.local.options import LocalOptions


class LlamaOptions(LocalOptions):
    """The backend's own settings.

    ``n_gpu_layers``: layers on the GPU, -1 for all, where the library was built for one.
    ``n_threads``: None shares the cores among the instances. ``flash_attn``: None for what suits
    the device. ``chat_format``: None for the model's own template, ``raw`` for none, or a template
    that llama.cpp has by name, such as ``chatml``. ``verbose``: llama.cpp's own log goes to the
    worker's. A preemption waits for one step of ``n_batch``.
    """

    n_gpu_layers: int = Field(default=-1, ge=-1)
    n_threads: int | None = Field(default=None, ge=1, le=1024)
    flash_attn: bool | None = None
    chat_format: str | None = Field(default=None, min_length=1)
    verbose: bool = False
