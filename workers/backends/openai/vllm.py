"""vLLM's servers: the ``openai`` backend, on two or more of them as one instance."""

from __future__ import annotations

from workers.backends.openai.backend import OpenAIBackend


class VllmBackend(OpenAIBackend):
    """Its servers have to be named."""

    default_urls = ()
