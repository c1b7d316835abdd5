"""What an instance's table in ``apexq.toml`` may say to an OpenAI-compatible server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ledger.api_key import ApiKey
from workers.backends.options import BackendOptions, Url, leaving_out

OWN_FIELDS = (
    *("model", "messages", "prompt", "stream", "stream_options", "n", "best_of", "echo"),
    *("max_tokens", "max_completion_tokens"),  # a job's budget says how many
)


class OpenAIOptions(BackendOptions):
    """The backend's own settings; docs/backends/openai.md says what each is for.

    ``base_url`` or ``endpoints``, not both. ``server``: what kind it is; None: it is asked.
    ``max_concurrent``: requests at one endpoint, of all workers on this host. ``window``: tokens.
    ``continues``: whether an answer can be taken up from its text. ``silence_s``: how long an
    endpoint may send nothing before it counts as lost.
    """

    base_url: Url | None = None
    endpoints: tuple[Url, ...] = ()
    api_key: ApiKey | None = None
    organization: str | None = None
    project: str | None = None
    api: Literal["chat", "completions"] = "chat"
    server: Literal["openai", "vllm", "llama_cpp", "lmstudio", "other"] | None = None
    max_concurrent: int | None = Field(default=None, ge=1, le=1000)
    window: int = Field(default=0, ge=0)
    continues: bool | None = Field(default=None)
    priority: bool = Field(default=False)
    connect_timeout_s: float = Field(default=5.0, gt=0, le=300)
    silence_s: float | None = Field(default=None, gt=0, le=86_400)
    extra_body: Annotated[dict[str, Any], leaving_out(*OWN_FIELDS)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way_to_name_it(self) -> OpenAIOptions:
        if self.base_url and self.endpoints:
            raise ValueError("give base_url or endpoints, and not both")
        if len(set(self.endpoints)) < len(self.endpoints):
            raise ValueError("endpoints names one of them twice")
        return self
