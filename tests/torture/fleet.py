"""The workers of a run. One that ends is started again, as a supervisor does."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import psutil
import redis

from ledger import keys
from tests.support.workers import Worker, await_ready
from tests.torture.clock import Clock
from tests.torture.plan import Plan

STOP_S = 40.0
AGAIN_S = 0.5  # before a worker is started again that ended by itself


class Member:
    """One instance's worker, in whichever process it is now."""

    def __init__(self, name: str, plan: Plan, more_env: dict[str, str]) -> None:
        self.name, self._plan = name, plan
        self._env = {**plan.env, **more_env}
        self._wanted = True
        self._told = False  # it was killed, or told to end: its end is no surprise
        self.surprises: list[str] = []
        self.starts = 0
        self._pause = threading.Event()
        self._lock = threading.Lock()
        self.start()
        self._thread = threading.Thread(target=self._keep_up, name=f"keeps-{name}", daemon=True)
        self._thread.start()

    def start(self) -> None:
        self.worker = Worker(self.name, self._plan.url, self._plan.folder, self._env)
        self.starts += 1

    @property
    def pid(self) -> int:
        """Of the parent process."""
        return self.worker.process.pid

    @property
    def children(self) -> list[int]:
        """The pids of the processes that have the model."""
        with suppress(psutil.NoSuchProcess):
            return [
                child.pid
                for child in psutil.Process(self.pid).children()
                if child.status() != psutil.STATUS_ZOMBIE
            ]
        return []

    def signal(self, number: signal.Signals) -> None:
        """Sends the parent a signal."""
        self._told = self._told or number in (signal.SIGKILL, signal.SIGTERM)
        send(self.pid, number)

    def stop(self) -> None:
        """Ends it as an operator would; a worker that does not listen is a surprise."""
        with self._lock:
            self._wanted = False
            self.signal(signal.SIGTERM)
        self._pause.set()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            self.surprises.append(f"did not end within {STOP_S:g} s of SIGTERM")
            self.worker.process.kill()
            self._thread.join()

    def _keep_up(self) -> None:
        while True:
            code = self.worker.process.wait()
            if not self._told and not _without_redis(self.worker):
                self.surprises.append(f"ended by itself with {code}; {self.worker.log_path.name}")
                self._pause.wait(AGAIN_S)
            with self._lock:
                if not self._wanted:
                    return
                self._told = False
                self.start()


class Fleet:
    """A worker for each instance; the last of them has a clock that can jump."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan = plan
        self.members: dict[str, Member] = {}
        with (
            redis.Redis.from_url(plan.url, decode_responses=True) as client,
            client.pubsub() as announcements,
        ):
            announcements.subscribe(keys.INSTANCES)
            for name in plan.names:
                self.members[name] = Member(name, plan, clock.env if name == self.jumpy else {})
            await_ready(client, announcements, [one.worker for one in self.members.values()])

    @property
    def jumpy(self) -> str:
        """The instance whose clock jumps."""
        return self._plan.names[-1]

    def stop(self) -> None:
        """Ends all."""
        stoppers = [threading.Thread(target=one.stop) for one in self.members.values()]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()

    def left(self) -> Iterator[psutil.Process]:
        """Every process that serves this run's Redis: workers, their children, orphans."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("REDIS_URL") == self._plan.url:
                    yield process


def _without_redis(worker: Worker) -> bool:
    """Whether it could not start because Redis was away; whoever starts workers tries again."""
    return bool(re.search(r"^apexq: .*(Redis at|REDIS_URL)", worker.log[-500:], re.MULTILINE))


def send(pid: int, number: signal.Signals) -> None:
    """Sends a signal to a process that may be gone by now."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
