"""What an instance's table in ``apexq.toml`` may say to Ollama."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ledger.api_key import ApiKey
from ledger.settings import Settings
from workers.backends.options import BackendOptions, Url

# Keys of the table that Ollama knows by the same name, as options of the model.
OF_THE_MODEL = (
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_batch",
    "num_keep",
    "use_mmap",
    "min_p",
    "typical_p",
    "repeat_last_n",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
)


class OllamaOptions(BackendOptions):
    """The backend's own settings.

    ``base_url``: the server; None for LLM_API_BASE, then OLLAMA_HOST, then this machine's.
    ``api_key``: for a server behind one; None for OLLAMA_API_KEY. ``num_ctx``: context window in
    tokens, None for APEX_LLM_CTX_TOKENS. ``keep_alive``: how long the model stays loaded after an
    answer, ``"10m"`` or seconds, -1 for ever. ``pull``: a model that is not there is downloaded.
    ``raw``: prompts go to the model as they are, without its template. ``prefill``: the model's
    template leaves an assistant's last message open, so that answers can be gone on from.
    ``think``: whether, or how hard, a model thinks that can; None for its own default. The rest:
    see :data:`OF_THE_MODEL`.
    """

    base_url: Url | None = None
    api_key: ApiKey | None = None
    num_ctx: int | None = Field(default=None, ge=1)
    keep_alive: str | int | float | None = None
    pull: bool = False
    raw: bool = False
    prefill: bool = False
    think: bool | str | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    num_thread: int | None = Field(default=None, ge=1)
    num_batch: int | None = Field(default=None, ge=1)
    num_keep: int | None = None
    use_mmap: bool | None = None
    min_p: float | None = Field(default=None, ge=0, le=1)
    typical_p: float | None = Field(default=None, ge=0, le=1)
    repeat_last_n: int | None = Field(default=None, ge=-1)
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    def of_the_model(self, settings: Settings) -> dict[str, Any]:
        """Ollama's ``options`` of every request."""
        own = {name: getattr(self, name) for name in OF_THE_MODEL}
        own["num_ctx"] = self.num_ctx or settings.ctx_tokens
        return {name: value for name, value in own.items() if value is not None}
