"""Where the servers are that an instance asks, as far as the settings say."""

from __future__ import annotations

import os
import re

from ledger.instance_spec import InstanceSpec
from ledger.settings import Settings

# Where nobody names one. A server of vLLM has to be named, and which one is meant by ``remote`` is
# for its worker to find out.
DEFAULTS = {
    "anthropic": "https://api.anthropic.com",
    "lmstudio": "http://localhost:1234/v1",
    "ollama": "http://127.0.0.1:11434",
    "openai": "https://api.openai.com/v1",
}
_VARIABLES = {"anthropic": "ANTHROPIC_BASE_URL", "ollama": "OLLAMA_HOST"}  # their libraries read
_PLACE = re.compile(r"(\[.*\]|[^:/]*)(?::(\d+))?(/.*)?")  # host, port, path
ASKING = (*DEFAULTS, "remote", "vllm")


def servers_of(spec: InstanceSpec, settings: Settings) -> tuple[str, ...]:
    """Their base URLs, without a slash at the end; none for a model in the worker's process."""
    if spec.backend not in ASKING:
        return ()
    named = spec.options.get("endpoints") or [
        spec.options.get("base_url") or settings.api_base or _default(spec.backend)
    ]
    # What is no URL is refused by the backend, not here.
    urls = named if isinstance(named, list) else []
    return tuple(url.rstrip("/") for url in urls if str(url).startswith(("http://", "https://")))


def _default(backend: str) -> str | None:
    host = os.environ.get(_VARIABLES.get(backend, ""))
    if not host:
        return DEFAULTS.get(backend)
    if "://" in host or backend != "ollama":
        return host
    named = _PLACE.fullmatch(host)
    return named and f"http://{named[1] or '127.0.0.1'}:{named[2] or 11434}{named[3] or ''}"
