"""A stack for as long as a block of code, or its process, lasts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ledger.errors import StackFailed
from ledger.settings import Settings, load_settings
from producer.local.launch import Supervised
from producer.local.plan import WORKER, child_env, make_plan


class LocalStack:
    """Redis and one worker per instance on this machine.

    ``with LocalStack(instances=2) as stack: client = LLMClient(stack.settings)``. The processes
    belong to a supervisor and end with the block, and with the calling process however that ends.
    A worker that dies is started again.
    """

    def __init__(
        self,
        instances: int | Sequence[Mapping[str, Any]] | None = 5,
        backend: str | None = "mock",
        model: str | None = None,
        port: int | None = None,
        redis_url: str | None = None,
        env: Mapping[str, str] | None = None,
        ready_timeout_s: float = 60.0,
        *,
        state_dir: Path | None = None,
        worker_command: Sequence[str] = WORKER,
        **settings: Any,
    ) -> None:
        """Reads the settings; nothing is started yet.

        Args:
            instances: how many, or a table of each as in apexq.toml; None: what the environment
                and apexq.toml say. So with the next.
            backend: of these instances.
            model: of these instances.
            port: of the embedded Valkey, which listens on 127.0.0.1 without a password;
                None: any free one.
            redis_url: a server that runs; it is used, not stopped. Without it, REDIS_URL and
                apexq.toml are looked at; an embedded Valkey is started if none of them names one.
            env: where settings are read instead of the process's environment; the workers get it
                on top of that.
            ready_timeout_s: how long all instances together may take to load their models.
            state_dir: a directory for logs and for Valkey's data, which then outlive the stack.
            worker_command: another worker's command line; ``{instance}`` in it is replaced.
            settings: further fields of :class:`Settings`.

        Raises:
            InvalidSetting: one of them is unknown or cannot be used.
        """
        self._given = load_settings(
            env, instances=instances, backend=backend, model=model, redis_url=redis_url, **settings
        )
        self._plan = make_plan(
            self._given,
            port=port,
            state_dir=state_dir,
            worker=tuple(worker_command),
            ready_timeout_s=ready_timeout_s,
        )
        self._env = child_env(self._given, env)
        self._settings: Settings | None = None
        self._supervised: Supervised | None = None
        self._starter = 0  # process id
        self.pids: dict[str, int] = {}

    def start(self) -> Self:
        """Starts everything and returns when every instance is ready.

        Raises:
            StackFailed: a process ended early or ran out of time, or the stack is up already.
            RedisUnavailable: the Redis that was named does not answer.
        """
        if self._supervised is not None:
            raise StackFailed("This stack is up already.")
        plan = self._plan.model_copy(update={"caller_pid": os.getpid()})
        self._starter = plan.caller_pid
        self._supervised = Supervised(plan, self._env)
        try:
            report = self._supervised.report()
        except BaseException:  # Ctrl-C too
            self.stop()
            raise
        self._settings = self._given.model_copy(update={"redis_url": report.redis_url})
        self.pids = {"supervisor": self._supervised.pid, **report.pids}
        return self

    def stop(self) -> None:
        """Stops everything that this stack started. Does nothing if it is not up."""
        if self._supervised is None or not self._may_stop:
            return
        self._supervised.stop()
        self._supervised, self._settings, self.pids = None, None, {}

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits until the stack ends without being asked by this process, as by `apexq down`.

        Raises:
            StackFailed: it ended because its Redis or its workers could not be kept up.
            TimeoutError: it has not after ``timeout_s`` seconds.
        """
        if self._supervised is not None and self._supervised.wait(timeout_s) != 0:
            raise StackFailed("The stack ended by itself; the logs of its processes say why.")

    @property
    def _may_stop(self) -> bool:
        """A forked copy of the caller must not stop what the caller still uses."""
        return self._starter == os.getpid()

    @property
    def settings(self) -> Settings:
        """The settings for clients of this stack.

        Raises:
            StackFailed: it is not up.
        """
        if self._settings is None:
            raise StackFailed("The stack is not up; use `with LocalStack() as stack:`.")
        return self._settings

    @property
    def redis_url(self) -> str:
        """Where the stack's Redis is; raises as :attr:`settings`."""
        return self.settings.redis_url

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
