"""Real Celery workers, started as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import redis

from ledger import keys

ROOT = Path(__file__).parents[2]
READY_S = 60  # a busy machine that imports torch


class Worker:
    """One ``celery -A workers worker -Q NAME`` process."""

    def __init__(
        self, name: str, url: str, folder: Path, env: dict[str, str], *arguments: str
    ) -> None:
        self.name, self._url = name, url
        self.log_path = folder / f"{name}-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", name]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "-l", "INFO", *arguments],
                cwd=ROOT,
                env=environment(url, env),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self, timeout_s: float = 20) -> None:
        """Ends it as an operator would, and by force if it does not listen."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError(f"{self.name} did not end in {timeout_s} s:\n{self.log}") from None


def child_of(pid: int) -> psutil.Process:
    """The process that has a worker's model; where that is no fork, billiard has one of its own."""
    trackers = "billiard.semaphore_tracker"
    children = psutil.Process(pid).children()
    [child] = [one for one in children if trackers not in " ".join(one.cmdline())]
    return child


def environment(url: str, more: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment less every setting, and what a test adds."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("APEX_", "LLM_", "CELERY"))
    }
    return {**kept, "REDIS_URL": url, "APEX_MOCK_DIRECTIVES": "1", **(more or {})}


@contextmanager
def working(
    url: str,
    folder: Path,
    *names: str,
    env: dict[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[list[Worker]]:
    """Runs a worker for each instance, with further arguments, and waits until all are ready."""
    client = redis.Redis.from_url(url, decode_responses=True)
    started: list[Worker] = []
    try:
        with client.pubsub() as announcements:
            announcements.subscribe(keys.INSTANCES)
            started = [Worker(name, url, folder, env or {}, *arguments) for name in names]
            await_ready(client, announcements, started)
        yield started
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.process.terminate()
        for worker in started:
            worker.stop()
        client.close()


def await_ready(
    client: redis.Redis, announcements: redis.client.PubSub, started: list[Worker]
) -> None:
    """Waits for the announcement of each worker's readiness."""
    until = time.monotonic() + READY_S
    waiting = {worker.name: worker for worker in started}
    while waiting:
        announcements.get_message(timeout=0.5)
        for name, worker in list(waiting.items()):
            state, pid = client.hmget(keys.entry(name), "state", "pid")
            if state == "ready" and pid == str(worker.process.pid):
                del waiting[name]
            elif worker.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{name} did not become ready:\n{worker.log}")
