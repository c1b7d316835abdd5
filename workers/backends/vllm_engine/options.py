"""What an instance's table in ``apexq.toml`` may say to vLLM's engine in the process."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from workers.backends.options import BackendOptions, leaving_out

OURS = ("model", "tokenizer", "max_model_len", "max_num_seqs", "trust_remote_code")


class VllmEngineOptions(BackendOptions):
    """The backend's own settings.

    ``chat_format``: ``raw`` for no chat template. ``engine``: more of vLLM's engine arguments, such
    as ``{gpu_memory_utilization = 0.4}``.
    """

    chat_format: Literal["raw"] | None = None
    engine: Annotated[dict[str, Any], leaving_out(*OURS)] = Field(default_factory=dict)
