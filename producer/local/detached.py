"""A stack that outlives the command that starts it: ``apexq up --detach`` and ``apexq down``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ledger.errors import StackFailed
from ledger.settings import load_settings
from producer.local.launch import Supervised
from producer.local.plan import WORKER, child_env, make_plan
from producer.local.state import State, StateDir

STATE_DIR = Path(".apexq")
LOOK_S = 0.05


def up(
    instances: int | None = None,
    backend: str | None = None,
    model: str | None = None,
    port: int | None = None,
    redis_url: str | None = None,
    env: Mapping[str, str] | None = None,
    ready_timeout_s: float = 60.0,
    *,
    state_dir: Path = STATE_DIR,
    worker_command: Sequence[str] = WORKER,
    **settings: Any,
) -> State:
    """Starts a stack that stays, and returns when it is ready; arguments as :class:`LocalStack`'s.

    Raises:
        InvalidSetting: an argument or a setting cannot be used.
        StackFailed: it did not come up, or one is up already in ``state_dir``.
        RedisUnavailable: the Redis that was named does not answer.
    """
    given = load_settings(
        env, instances=instances, backend=backend, model=model, redis_url=redis_url, **settings
    )
    place = StateDir(state_dir)
    plan = make_plan(
        given,
        port=port,
        state_dir=place.path,
        detached=True,
        worker=tuple(worker_command),
        ready_timeout_s=ready_timeout_s,
    )
    supervised = Supervised(plan, child_env(given, env))
    try:
        supervised.report()
        state = place.read()
    except BaseException:  # Ctrl-C too
        supervised.stop()
        raise
    supervised.release()
    supervised.reap()
    if state is None:
        raise StackFailed(f"The stack in {place.path} was stopped while it started.")
    return state


def running(state_dir: Path = STATE_DIR) -> State | None:
    """The stack that is up in ``state_dir``, or None."""
    place = StateDir(state_dir)
    return place.read() if place.held() else None


def down(state_dir: Path = STATE_DIR, timeout_s: float = 30.0) -> bool:
    """Stops the stack that is up in ``state_dir``; False if there is none.

    Raises:
        StackFailed: it is only just starting, or has not ended after ``timeout_s`` seconds.
    """
    place = StateDir(state_dir)
    if not place.held():
        return False
    state = place.read()
    if state is None:
        raise StackFailed(f"The stack in {place.path} is starting or stopping; try again.")
    with suppress(ProcessLookupError):  # it ended just now
        os.kill(state.pid, signal.SIGTERM)
    until = time.monotonic() + timeout_s
    while place.held():
        if time.monotonic() > until:
            raise StackFailed(
                f"The stack in {place.path} has not ended after {timeout_s:g} s; "
                f"its supervisor is process {state.pid}."
            )
        time.sleep(LOOK_S)
    return True
