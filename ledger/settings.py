"""The settings, and the one place that reads the environment.

First wins: call argument, ``APEX_*``, ``LLM_*``, ``apexq.toml``, default. docs/settings.md lists
them; a test holds that page and this class equal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ledger import environment, toml_config
from ledger.api_key import ApiKey
from ledger.budget_spec import EVERY, BudgetSpec, parse_budgets
from ledger.environment import Given, nearest, setting
from ledger.errors import InvalidSetting
from ledger.fallbacks import check_fallbacks, parse_fallbacks
from ledger.instance_spec import (
    BackendName,
    InstanceSpec,
    ModelName,
    default_backend,
    default_instances,
    expand,
)
from ledger.price import Price, parse_prices
from ledger.refusal import refusal

__all__ = ["BudgetSpec", "InstanceSpec", "Settings", "load_settings"]

DEFAULT_INSTANCES = 5
DAY_S = 86_400.0
_TRUTHS = (bool, bool | None)
SECRET = ("api_key", "api_base", "redis_url")


def _url(url: str) -> str:
    if not all(url.partition("://")):
        raise ValueError(
            "takes a URL, such as redis://localhost:6379/0 or http://localhost:8000/v1"
        )
    return url


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()  # a worker may run in another directory


CacheDir = Annotated[Path, AfterValidator(_absolute)]
Seconds = Annotated[float, Field(gt=0, le=365 * DAY_S)]
Url = Annotated[str, AfterValidator(_url)]
Instances = tuple[InstanceSpec, ...]
Budgets = dict[str, dict[str, BudgetSpec]]
Prices = dict[str, Price]
Fallbacks = dict[str, tuple[ModelName, ...]]


class Settings(BaseModel):
    """Everything that can be set. Names ending in ``_s`` are seconds, the other numbers counts."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True
    )

    # fmt: off
    config: Path | None = setting(None, "APEX_CONFIG",
        about="Path of `apexq.toml`; set but empty means no file, "
        "not set means `./apexq.toml` if there is one.")
    redis_url: Url = setting("redis://127.0.0.1:6379/0", "REDIS_URL",
        about="Redis that has the ledger and the queues.", repr=False)

    stub: bool = setting(False, "APEX_LLM_STUB",
        about="1: every instance has the backend `mock`, whatever else is set.")
    gguf_model_path: Path | None = setting(None, "APEX_GGUF_MODEL_PATH",
        about="Model of `llama_cpp`: path of a GGUF file, or `hf:org/repo:file.gguf`.")
    model: ModelName | None = setting(None, "APEX_LLM_MODEL_ID", "APEX_HF_MODEL_ID", "LLM_MODEL",
        about="Model of instances that name none.")
    backend: BackendName = setting(
        lambda data: default_backend(*map(data.get, ("stub", "gguf_model_path", "model"))),
        "APEX_LLM_BACKEND", "LLM_BACKEND",
        about="Backend of instances that name none; with a GGUF file it is `llama_cpp` unless "
        "another one is named; `llama_cpp_metal` is `llama_cpp` and `hf_cuda` is `hf`.")
    instances: Instances = setting(
        lambda data: default_instances(DEFAULT_INSTANCES, data.get("backend"), data.get("model")),
        "APEX_LLM_INSTANCES", "APEX_NUM_LLM_INSTANCES",
        about="How many like instances (`inst0`, `inst1`, …), "
        "or `[[instances]]` tables; in the variable as a JSON list.")
    fallbacks: Fallbacks = setting(dict, "APEX_FALLBACKS",
        about="Models that are tried in turn where one cannot answer: `[fallbacks]` with "
        "`\"big\" = [\"small\"]`; in the variable as JSON.")
    ctx_tokens: int = setting(4096, "APEX_LLM_CTX_TOKENS",
        about="Context window of a model in the process, tokens.", ge=1)
    api_key: ApiKey | None = setting(None, "LLM_API_KEY",
        about="Key for the API of `remote`, `openai`, `vllm` and `anthropic`; never shown.")
    api_base: Url | None = setting(None, "LLM_API_BASE",
        about="Base URL of the backend's API.", repr=False)
    load_timeout_s: Seconds = setting(600.0, "APEX_LOAD_TIMEOUT_S",
        about="How long a model may take to load.")

    memory_check: bool = setting(True, "APEX_MEMORY_CHECK",
        about="0: models are started even where they do not seem to fit into memory.")
    memory_limit_mb: int | None = setting(None, "APEX_MEMORY_LIMIT_MB",
        about="Memory of its own that the process of an instance may have, MB; Linux only.", ge=256)

    temperature: float = setting(0.7, "LLM_TEMPERATURE",
        about="Sampling temperature of requests that give none, on real models.", ge=0, le=10)
    top_p: float = setting(0.9, "LLM_TOP_P",
        about="Nucleus sampling of requests that give none, on real models.", gt=0, le=1)
    max_tokens: int = setting(512, "LLM_MAX_TOKENS",
        about="Completion tokens of requests that give none.", ge=1, le=1_000_000)
    max_prompt_bytes: int = setting(4_194_304, "APEX_MAX_PROMPT_BYTES",
        about="Longest prompt that is accepted, bytes of UTF-8.", ge=1)
    enable_cache: bool | None = setting(None, "LLM_ENABLE_CACHE",
        about="Which requests that were answered before are answered from the cache: not set: "
        "those at temperature 0; 1: all; 0: only those that ask for it (docs/cache.md).")
    cache_dir: CacheDir | None = setting(None, "LLM_CACHE_DIR",
        about="Directory in which the cache lies, such as `.llm_cache`; not set: it lies in Redis.")
    cache_ttl_s: Seconds = setting(DAY_S, "APEX_CACHE_TTL_S",
        about="How long an answer stays in the cache.")
    cache_max_mb: int = setting(64, "APEX_CACHE_MAX_MB",
        about="Size of the cache, MB; the oldest answers go first. 0: no cache.", ge=0, le=10**6)

    timeout_s: Seconds = setting(180.0, "APEX_LLM_TIMEOUT_S", "LLM_TIMEOUT",
        about="Run time of requests that give none, from the claim.", le=DAY_S)
    queue_timeout_s: Seconds | None = setting(None, "APEX_QUEUE_TIMEOUT_S",
        about="How long requests that say nothing else may wait to be claimed.")
    first_token_timeout_s: Seconds | None = setting(None, "APEX_FIRST_TOKEN_TIMEOUT_S",
        about="How long after the claim the first token of such requests may take.", le=DAY_S)
    token_timeout_s: Seconds | None = setting(None, "APEX_TOKEN_TIMEOUT_S",
        about="How long such requests may take from one token to the next.", le=DAY_S)
    episode_timeout_s: Seconds = setting(1800.0, "APEX_EPISODE_TIMEOUT_S",
        about="Run time of an episode.")
    progress_extend_s: Seconds = setting(120.0, "APEX_PROGRESS_EXTEND_S",
        about="Progress while an episode has less than this left gives it this much more.")
    episode_timeout_max_s: Seconds = setting(3600.0, "APEX_EPISODE_TIMEOUT_MAX_S",
        about="Run time that no progress extends an episode past.")
    heartbeat_s: Seconds = setting(20.0, "APEX_HEARTBEAT_S",
        about="A worker's log has a line of JSON on each open episode this often.")

    lease_s: Seconds = setting(15.0, "APEX_LEASE_S",
        about="A worker unheard for this long has lost its jobs.")
    grace_s: float = setting(5.0, "APEX_GRACE_S",
        about="How long running jobs may go on when their worker is told to end; what has not "
        "ended by then is given back with its text.", ge=0, le=DAY_S)
    absent_s: Seconds = setting(60.0, "APEX_ABSENT_S",
        about="The waiting jobs of an instance unheard for this long go to others.")
    affinity: Literal["strict", "bounded"] = setting("strict", "APEX_AFFINITY",
        about="`strict`: an agent's jobs go to its own instance; `bounded`: to another one where "
        "that is far sooner, though its context is not there (docs/routing.md).")
    prefill_tokens_per_s: float = setting(1000.0, "APEX_PREFILL_TOKENS_PER_S",
        about="How fast instances read a prompt, tokens per second; for `bounded`.", gt=0)
    max_attempts: int = setting(3, "APEX_MAX_ATTEMPTS",
        about="Attempts after which a job is given up as dead.", ge=1, le=1000)
    preemption: bool = setting(True, "APEX_PREEMPTION",
        about="0: a running job never makes way for a better one.")
    ageing_s: float = setting(900.0, "APEX_AGEING_S",
        about="A job that has waited this long counts as one priority higher, never as URGENT; "
        "0: jobs do not age.", ge=0, le=365 * DAY_S)
    max_yields: int = setting(100, "APEX_MAX_YIELDS",
        about="How often one job makes way, at most.", ge=0, le=1000)
    yield_not_last_tokens: int = setting(8, "APEX_YIELD_NOT_LAST_TOKENS",
        about="A job with no more tokens left than this makes way no more.", ge=0, le=1_000_000)
    max_waiting: int = setting(1_000_000, "APEX_MAX_WAITING",
        about="Jobs that may wait for one instance.", ge=1)
    retention_s: Seconds = setting(DAY_S, "APEX_RETENTION_S",
        about="How long an ended job is kept.")
    dead_retention_s: Seconds = setting(7 * DAY_S, "APEX_DEAD_RETENTION_S",
        about="How long a job that was given up is kept.")
    session_retention_s: Seconds = setting(7 * DAY_S, "APEX_SESSION_RETENTION_S",
        about="How long an idle session is kept: its turns, and its and its episode's tokens.")
    session_max_turns: int = setting(200, "APEX_SESSION_MAX_TURNS",
        about="Turns that a session keeps; the oldest go first.", ge=1, le=1000)
    session_max_bytes: int = setting(1_048_576, "APEX_SESSION_MAX_BYTES",
        about="Bytes that a session keeps; the oldest turns go first.", ge=1)
    budgets: Budgets = setting(dict, "APEX_BUDGETS",
        about="Token limits: `[budgets.<scope>.<id or *>]` with `tokens`, `tokens_per_hour`, "
        "`tokens_per_day`, `tokens_per_month`; scopes are `tenant`, `agent`, `role`, `session`, "
        "`episode`; in the variable as JSON.")

    usage_retention_s: float = setting(400 * DAY_S, "APEX_USAGE_RETENTION_S",
        about="How long is kept what was spent on a day.", ge=DAY_S, le=3_660 * DAY_S)
    prices: Prices = setting(dict, "APEX_PRICES",
        about="Prices of `apexq usage`: `[prices.\"<model>\"]` with `prompt` and `completion` per "
        "million tokens, and `currency`; in the variable as JSON.")

    log_prompts: bool = setting(False, "APEX_LOG_PROMPTS",
        about="1: prompts and answers appear in the logs.")
    mock_directives: bool = setting(False, "APEX_MOCK_DIRECTIVES",
        about="1: the backend `mock` obeys `[[mock …]]` in prompts; for tests.")
    # fmt: on

    @field_validator("backend")
    @classmethod
    def _stub_backend(cls, backend: str, info: ValidationInfo) -> str:
        return "mock" if info.data.get("stub") else backend

    @field_validator("instances", mode="before")
    @classmethod
    def _expand_instances(cls, value: object, info: ValidationInfo) -> object:
        return expand(value, info.data.get("backend"), info.data.get("model"))

    @field_validator("instances")
    @classmethod
    def _distinct_instances(cls, instances: Instances, info: ValidationInfo) -> Instances:
        seen = set()
        for one in instances:
            if one.name in seen:
                raise ValueError(f"two instances have the name {one.name!r}; each needs its own")
            seen.add(one.name)
        return tuple(one.stubbed() for one in instances) if info.data.get("stub") else instances

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _parse_fallbacks(cls, value: object) -> object:
        return parse_fallbacks(value)

    @field_validator("fallbacks")
    @classmethod
    def _usable_fallbacks(cls, chains: Fallbacks, info: ValidationInfo) -> Fallbacks:
        if "instances" in info.data:  # otherwise they are complained of
            check_fallbacks(chains, {one.served_model for one in info.data["instances"]})
        return chains

    @field_validator("budgets", mode="before")
    @classmethod
    def _parse_budgets(cls, value: object) -> object:
        return parse_budgets(value)

    @field_validator("prices", mode="before")
    @classmethod
    def _parse_prices(cls, value: object) -> object:
        return parse_prices(value)

    @model_validator(mode="after")
    def _episode_fits(self) -> Settings:
        if self.episode_timeout_s > self.episode_timeout_max_s:
            raise ValueError(
                f"An episode's run time ({self.episode_timeout_s:g} s) is above its maximum "
                f"({self.episode_timeout_max_s:g} s); raise APEX_EPISODE_TIMEOUT_MAX_S"
            )
        return self

    def instance(self, name: str) -> InstanceSpec:
        """The instance of this name.

        Raises:
            InvalidSetting: there is none.
        """
        for one in self.instances:
            if one.name == name:
                return one
        known = [one.name for one in self.instances]
        shown = ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
        raise InvalidSetting(
            f"There is no instance {name!r}; known: {shown}; use one of these, raise "
            "APEX_LLM_INSTANCES, or add an [[instances]] table to apexq.toml."
        )

    def budget(self, scope: str, own_id: str) -> BudgetSpec | None:
        """The limits of ``own_id`` in ``scope``, else those of ``*``, else None."""
        tables = self.budgets.get(scope)
        return (tables.get(own_id) or tables.get(EVERY)) if tables else None

    def to_env(self) -> dict[str, str]:
        """Environment with which another process loads equal settings, API key included.

        It names every variable, the unused ones and those that nobody set empty, so it can be laid
        over an environment in which others are set.
        """
        env = {}
        for field, (first, *others) in environment.variables_of(Settings).items():
            env[first] = self._text(field) if field in self.model_fields_set else ""
            env |= dict.fromkeys(others, "")
        return env

    def _text(self, field: str) -> str:
        match value := getattr(self, field):
            case None:
                return ""
            case SecretStr():
                return value.get_secret_value()
            case bool():
                return str(int(value))
            case float() if value.is_integer():
                return str(int(value))
            case tuple() if value == default_instances(len(value), self.backend, self.model):
                return str(len(value))
            case tuple() | dict():
                return json.dumps(self.model_dump(mode="json", include={field})[field])
        return str(value)


def load_settings(env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings from all their sources.

    Args:
        env: instead of the process's environment.
        overrides: fields of :class:`Settings`; None counts as not given. With ``instances`` the
            ``fallbacks`` of the environment and the file do not count: they are chains of others.

    Raises:
        InvalidSetting: something is unknown or cannot be used; one sentence that names it.
    """
    env = os.environ if env is None else env
    known = Settings.model_fields.keys()
    for name in overrides:
        if name not in known:
            raise InvalidSetting(
                f"Unknown setting {name!r}; did you mean {nearest(name, known)!r}?"
            )
    given = environment.read(env, environment.variables_of(Settings))
    given |= {
        name: Given(value, f"The argument {name}")
        for name, value in overrides.items()
        if value is not None
    }
    path = None
    if "config" in given or "APEX_CONFIG" not in env:
        path = toml_config.find(given.pop("config", None))
    if path is not None:
        given = toml_config.read(path, known - {"config"}) | given
    others = overrides.get("instances") is not None and overrides.get("fallbacks") is None
    if others and "fallbacks" in given:  # said in so many words, for a child that reads the file
        given["fallbacks"] = Given({}, given["fallbacks"].source)
    return _validated(given, path)


def _validated(given: Mapping[str, Given], path: Path | None) -> Settings:
    for field, (value, source) in given.items():
        # Pydantic takes True for 1; here it is a slip.
        if isinstance(value, bool) and Settings.model_fields[field].annotation not in _TRUTHS:
            raise InvalidSetting(f"{source} takes no true or false; see docs/settings.md.")
    try:
        return Settings(config=path, **{field: value for field, (value, _) in given.items()})
    except ValidationError as error:
        raise refusal(error, given, SECRET) from None
