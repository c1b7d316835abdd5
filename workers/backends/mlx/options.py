"""What an instance's table in ``apexq.toml`` may say to MLX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.backends.local.options import LocalOptions


class MlxOptions(LocalOptions):
    """The backend's own settings.

    ``chat_format``: ``raw`` for no chat template. ``adapter``: folder of a LoRA adapter in mlx-lm's
    form. A preemption waits for one step of ``n_batch``.
    """

    chat_format: Literal["raw"] | None = None
    adapter: str | None = Field(default=None, min_length=1)
