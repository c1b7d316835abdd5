"""LM Studio: the ``openai`` backend on this machine's own server."""

from __future__ import annotations

from workers.backends.openai.backend import OpenAIBackend


class LMStudioBackend(OpenAIBackend):
    """It needs no key, so LLM_API_KEY, which is for others, is not sent to it."""

    default_urls = ("http://localhost:1234/v1",)
    common_key = False
