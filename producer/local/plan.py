"""What a supervisor is told to run, and what it answers. Each travels as one line of JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ledger.environment import PREFIX
from ledger.errors import InvalidSetting
from ledger.instance_spec import default_instances
from ledger.settings import Settings

INSTANCE = "{instance}"  # stands for the instance's name in a worker's command

WORKER = (
    *(sys.executable, "-m", "celery", "-A", "workers", "--quiet"),
    *("worker", "-Q", INSTANCE, "--loglevel", "WARNING"),
)


class Plan(BaseModel):
    """One stack.

    ``redis_url`` None means an own Valkey, on ``port`` if one is given. With ``state_dir`` its data
    outlive it, and logs and a state file are written there. A ``detached`` stack outlives the
    process that asked for it. ``grace_s``: how long workers let their jobs go on when they end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instances: tuple[str, ...]
    worker: tuple[str, ...] = WORKER
    redis_url: str | None = None
    port: int | None = None
    state_dir: Path | None = None
    detached: bool = False
    caller_pid: int
    ready_timeout_s: float
    grace_s: float = 5.0


class Report(BaseModel):
    """A supervisor's one answer: the stack is ready, or ``error`` says why it is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: str = ""
    pids: dict[str, int] = {}
    error: dict[str, Any] | None = None


def make_plan(settings: Settings, *, port: int | None, **rest: Any) -> Plan:
    """The plan of a stack with ``settings``: with a Valkey of its own unless they name a Redis.

    Raises:
        InvalidSetting: there is a ``port`` for that Valkey, and a Redis is named.
    """
    named = settings.redis_url if "redis_url" in settings.model_fields_set else None
    if named is not None and port is not None:
        raise InvalidSetting(
            f"The port {port} is for an embedded Redis, but redis_url (REDIS_URL, apexq.toml) "
            "names a server to use; give one of the two."
        )
    return Plan(
        instances=tuple(spec.name for spec in settings.instances),
        redis_url=named,
        port=port,
        caller_pid=os.getpid(),
        grace_s=settings.grace_s,
        **rest,
    )


def scaled(settings: Settings, wanted: int) -> Settings:
    """The settings with so many instances.

    Raises:
        InvalidSetting: they are not all alike, so nobody knows what another one would be.
    """
    backend, model = settings.backend, settings.model
    if settings.instances != default_instances(len(settings.instances), backend, model):
        raise InvalidSetting(
            "The instances of this stack are tables of apexq.toml; add or remove a table there, "
            "and start the stack again."
        )
    return settings.model_copy(update={"instances": default_instances(wanted, backend, model)})


def child_env(settings: Settings, env: Mapping[str, str] | None) -> dict[str, str]:
    """The environment of the stack's processes: this one's, ``env``, and all of ``settings``."""
    # An APEX_ name that `settings` did not come from must not reach the workers either.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**inherited, **(env or {}), **settings.to_env(), "PYTHONUNBUFFERED": "1"}
