"""What an instance's table in ``apexq.toml`` may say to Anthropic's API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ledger.api_key import ApiKey
from workers.backends.options import BackendOptions, Url, leaving_out

OWN_FIELDS = ("model", "messages", "system", "stream", "max_tokens")


class AnthropicOptions(BackendOptions):
    """The backend's own settings.

    ``base_url``: None for LLM_API_BASE, then Anthropic's. ``api_key``: None for LLM_API_KEY, then
    what the SDK finds (ANTHROPIC_API_KEY, a profile). ``window``: context in tokens, None for what
    the API tells of the model. ``prompt_cache``: what requests have in common is cached, for
    ``cache_ttl``. ``thinking``: ``adaptive`` lets the model decide; ``thinking_tokens`` sets a
    number instead, for older models; None for the model's own default. ``effort``: how hard it
    works. ``silence_s``: how long the server may send nothing, not even a ping. ``extra_body``,
    ``extra_headers``: sent as they are, for what is not here.
    """

    base_url: Url | None = None
    api_key: ApiKey | None = None
    window: int | None = Field(default=None, ge=1)
    prompt_cache: bool = True
    cache_ttl: Literal["5m", "1h"] = "5m"
    thinking: Literal["adaptive", "disabled"] | None = None
    thinking_tokens: int | None = Field(default=None, ge=1024)
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    silence_s: float = Field(default=600.0, gt=0, le=86_400)
    extra_body: Annotated[dict[str, Any], leaving_out(*OWN_FIELDS)] = Field(default_factory=dict)
    extra_headers: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way_to_think(self) -> AnthropicOptions:
        if self.thinking and self.thinking_tokens:
            raise ValueError("give thinking or thinking_tokens, and not both")
        return self

    def how_to_think(self, max_tokens: int, *, must_call: bool) -> dict[str, Any] | None:
        """The API's ``thinking``; thoughts are told, which newer models do only when asked.

        Without them goes what the API refuses with them: an answer that is no longer than they may
        be, and one that must call a tool.
        """
        if must_call and self.thinking != "disabled":
            return None
        if self.thinking_tokens:
            if max_tokens <= self.thinking_tokens:
                return None
            told = {"display": "summarized", "budget_tokens": self.thinking_tokens}
            return {"type": "enabled", **told}
        if self.thinking == "adaptive":
            return {"type": "adaptive", "display": "summarized"}
        return {"type": "disabled"} if self.thinking else None
