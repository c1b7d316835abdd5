"""Which requests have the same answer, and which may be answered by an earlier one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ledger import keys
from ledger.messages import Request
from ledger.model_servers import servers_of
from ledger.settings import InstanceSpec, Settings

# What of a request does not change the answer. All else does, also fields that are yet to come.
# The model is that of the instance, by its fingerprint: a request need not name it.
APART = {
    "schema_version",
    "agent_id",
    "session_id",
    "episode_id",
    "tenant",
    "model",
    "instance",
    "priority",
    "history",
    "cache",
    "timeout_s",
    "queue_timeout_s",
    "first_token_timeout_s",
    "token_timeout_s",
    "metadata",
}

# Jobs that share a run are alike in these too, so that none waits for one with less claim to it.
_TERMS = {"priority", "timeout_s", "first_token_timeout_s", "token_timeout_s"}

_SECRET = ("api_key",)

# Where these name no model, they take the server's own, which is another one tomorrow.
_OF_SERVERS = {"openai", "vllm", "lmstudio", "remote", "ollama", "anthropic"}

# Some providers are sent these only if somebody has set them; otherwise theirs hold.
_SAMPLING = {"temperature", "top_p"}


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The place of an answer. ``run``: of the one run that equal requests wait for."""

    tenant: str
    digest: str
    run: str

    @property
    def entry(self) -> str:
        """Redis' key of the answer."""
        return keys.cache(self.tenant, self.digest)

    @property
    def run_keys(self) -> list[str]:
        """Redis' keys of who runs and of those who wait for it."""
        return [keys.cache_run(self.tenant, self.run), keys.cache_parked(self.tenant, self.run)]


def takes_part(request: Request, settings: Settings) -> bool:
    """Whether the request may be answered by an earlier answer, and its own be kept.

    Its own word counts; without one, ``LLM_ENABLE_CACHE``; without that, whether it is greedy.
    A request with history never does: its answer belongs to its session.
    """
    if request.cache is False or request.history or not settings.cache_max_mb:
        return False
    if request.cache or settings.enable_cache is not None:
        return bool(request.cache or settings.enable_cache)
    temperature = settings.temperature if request.temperature is None else request.temperature
    return temperature == 0


def fingerprint(spec: InstanceSpec, settings: Settings) -> str:
    """What of an instance's configuration changes answers, as 16 hex digits; no secrets are in it.

    Empty where its worker keeps no answers: there is no cache, or only the server knows the model.
    """
    if not settings.cache_max_mb or (spec.backend in _OF_SERVERS and spec.model is None):
        return ""
    options = {name: value for name, value in spec.options.items() if name not in _SECRET}
    about = [
        spec.backend,
        spec.model,
        options,
        settings.gguf_model_path,
        settings.api_base,
        servers_of(spec, settings),
        settings.ctx_tokens,
        settings.temperature,
        settings.top_p,
        sorted(_SAMPLING & settings.model_fields_set),
        settings.mock_directives,
    ]
    return _digest(json.dumps(about, default=str))[:16]


def key_of(request: Request, instance: str) -> CacheKey:
    """The place of the request's answer; ``instance``: the fingerprint of the one that makes it."""
    asked = request.model_dump_json(exclude=APART, exclude_defaults=True)
    terms = request.model_dump_json(include=_TERMS)
    digest = _digest(f"{instance}\n{asked}")
    return CacheKey(request.tenant, digest, _digest(f"{digest}\n{terms}"))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
