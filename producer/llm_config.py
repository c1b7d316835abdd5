"""What :func:`producer.llm.get_llm_client` is to ask, of which model."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ledger.environment import nearest
from ledger.errors import InvalidSetting, UnknownBackend
from ledger.instance_spec import BACKENDS, by_its_one_name
from ledger.settings import Settings, load_settings

_OF_A_REQUEST = ("temperature", "max_tokens", "top_p", "timeout_s")
_OF_THE_WORKER = {"api_key": "LLM_API_KEY", "api_base": "LLM_API_BASE"}


class LLMConfig:
    """A backend, a model, and how it answers: from arguments, else from ``LLM_*`` and ``APEX_*``
    variables and apexq.toml, else the defaults.

    What nobody said is left to the instance: a backend that refuses ``top_p`` is not sent one.
    """

    def __init__(
        self,
        backend: str | None = None,
        model: str | None = None,
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        top_p: float | None = None,
        timeout_s: float | None = None,
        enable_cache: bool | None = None,
        cache_dir: str | Path | None = None,
        tenant: str = "default",
        agent_id: str = "llm",
        settings: Settings | None = None,
        **unknown: Any,
    ) -> None:
        """Reads and checks everything; nothing is connected.

        Args:
            backend: only instances that have it answer; empty counts as not given.
            model: only instances that serve it answer; so with this.
            temperature: of each request, so with the next three; ``timeout_s``: seconds.
            enable_cache: as ``LLM_ENABLE_CACHE`` (docs/cache.md).
            cache_dir: as ``LLM_CACHE_DIR``.
            tenant: whose budget is spent.
            agent_id: who asks: an agent's requests go to the same instance.
            settings: instead of those of the environment and apexq.toml.

        Raises:
            InvalidSetting, UnknownBackend: with the nearest name that there is.
        """
        _refuse_unknown(unknown)
        given = {
            "temperature": temperature,
            "max_tokens": max_tokens,
            "top_p": top_p,
            "timeout_s": timeout_s,
            "enable_cache": enable_cache,
            "cache_dir": cache_dir,
        }
        given = {name: value for name, value in given.items() if value is not None}
        env = settings.to_env() if settings is not None else None
        self.settings = load_settings(env, **given)
        said = (settings or self.settings).model_fields_set
        self.options = {
            name: getattr(self.settings, name)
            for name in _OF_A_REQUEST
            if name in given or name in said
        }
        self.backend = _known(backend or self.settings.backend)
        self.model = model or self.settings.model
        self.names_backend = bool(backend) or "backend" in said
        if self.settings.stub:  # every instance has it
            self.backend, self.names_backend = "mock", False
        self.tenant, self.agent_id = tenant, agent_id

    def __repr__(self) -> str:
        return f"LLMConfig(backend={self.backend!r}, model={self.model!r})"

    @property
    def temperature(self) -> float:
        """Sampling temperature."""
        return self.settings.temperature

    @property
    def max_tokens(self) -> int:
        """Tokens of an answer, at most."""
        return self.settings.max_tokens

    @property
    def top_p(self) -> float:
        """Nucleus sampling."""
        return self.settings.top_p

    @property
    def timeout_s(self) -> float:
        """Run time of a request, seconds."""
        return self.settings.timeout_s

    @property
    def enable_cache(self) -> bool | None:
        """Which requests are answered from the cache; None: greedy ones."""
        return self.settings.enable_cache

    @property
    def cache_dir(self) -> Path | None:
        """Directory of the cache; None: it lies in Redis."""
        return self.settings.cache_dir


def _known(backend: str) -> str:
    name = by_its_one_name(backend)
    known = {*BACKENDS, *(point.name for point in entry_points(group="apexq.backends"))}
    if name not in known:
        near = f"{', '.join(sorted(known))} (did you mean {nearest(name, known)}?)"
        raise UnknownBackend(backend=backend, known=near)
    return name


def _refuse_unknown(given: dict[str, Any]) -> None:
    for name in given:
        if name in _OF_THE_WORKER:
            raise InvalidSetting(
                f"{name} is the worker's, and does not travel with requests: set "
                f"{_OF_THE_WORKER[name]} where `celery -A workers worker` starts."
            )
        known = [*_OF_A_REQUEST, "backend", "model", "enable_cache", "cache_dir", "tenant"]
        near = nearest(name, [*known, "agent_id", "settings"])
        raise InvalidSetting(f"LLMConfig has no {name!r}; did you mean {near!r}?")
