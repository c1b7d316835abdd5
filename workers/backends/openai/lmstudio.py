"""LM Studio: the ``openai`` backend on this machine's own server."""

from __future__ import annotations

from ledger.model_servers import DEFAULTS
from workers.backends.openai.backend import OpenAIBackend


class LMStudioBackend(OpenAIBackend):
    """It needs no key, so LLM_API_KEY, which is for others, is not sent to it."""

    default_urls = (DEFAULTS["lmstudio"],)
    common_key = False
