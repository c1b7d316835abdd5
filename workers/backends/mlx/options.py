"""What an instance's table in ``apexq.toml`` may say to MLX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workers.backends.options import BackendOptions


class MlxOptions(BackendOptions):
    """The backend's own settings.

    ``n_batch``: prompt tokens read in one step; a preemption waits for one step. ``resume_batch``:
    the same for a partial answer that is taken up from its text; with 1 it goes on exactly as an
    uninterrupted one. ``chat_format``: ``raw`` for no chat template. ``adapter``: folder of a LoRA
    adapter in mlx-lm's form. ``kept_mib``, ``kept_states``: how much of other sessions' contexts is
    kept, so that they are not read again.
    """

    n_batch: int = Field(default=512, ge=1, le=65_536)
    resume_batch: int = Field(default=1, ge=1, le=512)
    chat_format: Literal["raw"] | None = None
    adapter: str | None = Field(default=None, min_length=1)
    kept_mib: int = Field(default=512, ge=0)
    kept_states: int = Field(default=16, ge=0)
