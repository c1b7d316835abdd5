"""``remote``: the provider by LLM_API_BASE, or else by the form of the key."""

from __future__ import annotations

from urllib.parse import urlsplit

from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Backend

ANTHROPIC_KEY = "sk-ant-"
ANTHROPIC_HOST = "anthropic.com"


def remote(spec: InstanceSpec, settings: Settings) -> Backend:
    """The backend of the provider that the settings mean.

    Raises:
        InvalidSetting, BackendMissing: as that backend does.
    """
    from workers.backends import table

    meant = spec.model_copy(update={"backend": provider(spec, settings)})
    return table.create(meant, settings)


def provider(spec: InstanceSpec, settings: Settings) -> str:
    """``anthropic`` or ``openai``, which stands for every server that is compatible with it."""
    base = spec.options.get("base_url") or settings.api_base
    if base:
        host = urlsplit(str(base)).hostname or ""
        return "anthropic" if f".{host}".endswith(f".{ANTHROPIC_HOST}") else "openai"
    key = spec.options.get("api_key") or (settings.api_key and settings.api_key.get_secret_value())
    return "anthropic" if str(key or "").startswith(ANTHROPIC_KEY) else "openai"
