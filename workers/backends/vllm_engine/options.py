"""What an instance's table in ``apexq.toml`` may say to vLLM's engine in the process."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from workers.backends.options import BackendOptions

OURS = ("model", "tokenizer", "max_model_len", "max_num_seqs", "trust_remote_code")


def _not_ours(given: dict[str, Any]) -> dict[str, Any]:
    for name in OURS:
        if name in given:
            raise ValueError(f"{name} is set by apexq; leave it out")
    return given


class VllmEngineOptions(BackendOptions):
    """The backend's own settings.

    ``chat_format``: ``raw`` for no chat template. ``engine``: more of vLLM's engine arguments, such
    as ``{gpu_memory_utilization = 0.4}``.
    """

    chat_format: Literal["raw"] | None = None
    engine: Annotated[dict[str, Any], AfterValidator(_not_ours)] = Field(default_factory=dict)
