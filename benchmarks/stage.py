"""What the cases share: the server, the two workers, clients of both. Started when asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from benchmarks import fleet, plain_app
from benchmarks.process import Process
from benchmarks.scale import Scale
from benchmarks.valkey import Valkey
from ledger import instances
from ledger.instances import Descriptor
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from producer import LLMClient

# Databases of the one server. A worker's is never emptied under it.
WORKED, PLAIN, STOPPED, BACKLOG = range(4)

PROMPT = "Summarise in one sentence what was said so far. ".ljust(200, ".")  # bytes, both sides
IDLE_S = 0.02  # between jobs, so that a worker waits at its queue again before the next one
LOOK_S = 0.001


class Stage:
    """A context: leaving it ends every process that was started."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.scale = scale
        self._folder = folder
        self._valkey = Valkey(folder)
        self._workers: tuple[Process, Process] | None = None
        self._wakeup = ""
        self._closing: list[Callable[[], None]] = []
        self.plain = plain_app.create(self._valkey.url(PLAIN))

    def settings(self, database: int) -> Settings:
        """One mock instance, which counts as there for as long as the benchmark takes."""
        return load_settings(
            env={"APEX_CONFIG": ""},
            redis_url=self._valkey.url(database),
            instances=1,
            mock_directives=True,
            absent_s=86_400,
        )

    def client(self, database: int) -> LLMClient:
        """A client of the instance of ``database``."""
        client = LLMClient(self.settings(database))
        self._closing.append(client.close)
        return client

    def bare(self, database: int) -> Any:
        """redis-py as it comes; Any, because its types do not know which answers wait."""
        client = redis.Redis.from_url(self._valkey.url(database), decode_responses=True)
        self._closing.append(client.close)
        return client

    def workers(self) -> tuple[Process, Process]:
        """Our worker and the plain one, ready and idle."""
        if self._workers is None:
            ours = fleet.start_ours(self.settings(WORKED), self._folder)
            try:
                self._workers = ours, fleet.start_plain(self.plain, self._folder)
            except BaseException:
                ours.stop()
                raise
        return self._workers

    def dismiss(self) -> None:
        """Stops the workers, if they run."""
        workers = self._workers or ()
        for worker in workers:
            worker.ask_to_stop()
        for worker in workers:
            worker.stop()
        self._workers = None

    def empty(self, database: int) -> None:
        """Leaves nothing in ``database`` but an instance that is registered and has no worker."""
        with self.bare(database) as client:
            client.flushdb()
        descriptor = Descriptor(name=fleet.INSTANCE, backend="mock", model="mock")
        ledger = Ledger(self._valkey.url(database))
        ledger.run(
            instances.register(
                descriptor, owner="bench", node="bench", pid=0, wakeup=self._template(), grace_ms=0
            )
        )
        ledger.run(instances.set_state(fleet.INSTANCE, "bench", "ready"))
        ledger.close()

    def empty_plain(self) -> None:
        """Takes what waits for the plain worker; the bindings of its queue stay."""
        with self.bare(PLAIN) as client:
            client.delete("celery")

    def talker(self, module: str, *arguments: str) -> Process:
        """``python -m module``, to be told and asked."""
        command = [fleet.CELERY[0], "-m", module, *arguments]
        process = Process(command, self._folder / f"{module}.log", talks=True)
        self._closing.append(process.stop)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.dismiss()
            for close in reversed(self._closing):
                close()
        finally:
            self._valkey.stop()

    def _template(self) -> Any:
        if not self._wakeup:
            # Importing the workers' app reads the environment, which is scrubbed by now.
            from workers.celery_app import create_app
            from workers.wakeup import render

            self._wakeup = render(create_app(self.settings(STOPPED)), fleet.INSTANCE)
        return self._wakeup


def rest(broker: Any) -> None:
    """Waits until no message of ``broker`` is in a worker's hands, and a moment more."""
    while broker.hlen("unacked"):
        time.sleep(LOOK_S)
    time.sleep(IDLE_S)
