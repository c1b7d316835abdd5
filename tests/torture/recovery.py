"""How long a job took from a fault until the ledger had it back, and until it went on.

The next attempt may have to wait for better jobs: so both are told. Of a job that is hit again
before it went on, only the last fault counts. Where two faults met, such as a kill while Redis was
away, the times say nothing of either: these jobs are counted apart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

from ledger import keys
from ledger.errors import JobNotFound, RedisUnavailable, ResultTimeout
from ledger.messages import Event
from ledger.redis_client import Ledger
from ledger.stream import follow

log = logging.getLogger("torture")

MOST_S = 30.0  # after the end of the run, when every job has ended
LOOK_S = 5.0  # how often it is looked whether the run has ended
PAUSE_S = 0.05
AFTERMATH_S = 5.0  # until a worker or Redis that was started again is as before
PROGRESS = ("chunk", "reset", "end")


@dataclass(frozen=True, slots=True)
class Running:
    """A job as it ran when the fault came."""

    job_id: str
    instance: str
    fence: int
    pid: int
    seq: int
    failures: int


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A fault that a job was hit by. ``at``: when; ``next_attempt``: it goes on in another one."""

    kind: str
    job: Running
    next_attempt: bool
    at: float
    blow: Blow


@dataclass(slots=True)
class Blow:
    """A fault that disturbs an instance, or all (``redis``), from ``begun`` to ``over``."""

    where: str
    begun: float
    over: float = float("inf")


class Recoveries:
    """Follows the jobs that a fault hit, each from a thread of its own."""

    def __init__(self, url: str) -> None:
        self._ledger = Ledger(url)
        self._threads: list[threading.Thread] = []
        self._pause = threading.Event()  # never set: for pauses
        self._latest: dict[str, object] = {}  # by job: its latest fault
        self._blows: list[Blow] = []
        self._until = float("inf")
        self.crossed_s: list[float] = []
        self.back_s: dict[str, list[float]] = defaultdict(list)
        self.took_s: dict[str, list[float]] = defaultdict(list)
        self.unseen: list[str] = []

    def running(self, instance: str) -> list[Running]:
        """The jobs that run on an instance now.

        Raises:
            redis.RedisError
        """
        client, found = self._ledger.redis, []
        for job_id in client.zrange(keys.running(instance), 0, -1):
            fields = client.hmget(
                keys.job(job_id), ["state", "fence", "pid", "seq", "failures", "instance"]
            )
            if fields[0] == "running" and fields[5] == instance:
                found.append(Running(job_id, instance, *map(int, fields[1:5])))
        return found

    def blow(self, where: str) -> Blow:
        """A fault begins."""
        blow = Blow(where, time.monotonic())
        self._blows.append(blow)
        return blow

    def watch(self, kind: str, job: Running, blow: Blow, *, next_attempt: bool) -> None:
        """From now on counts until the job's next event; ``next_attempt``: of another attempt."""
        hit = Hit(kind, job, next_attempt, time.monotonic(), blow)
        self._latest[job.job_id] = hit
        thread = threading.Thread(target=self._follow, args=(hit,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Waits until every job that is watched has gone on; to be called when all have ended."""
        self._until = time.monotonic() + MOST_S
        for thread in self._threads:
            thread.join()
        self._ledger.close()

    def _follow(self, hit: Hit) -> None:
        seq, job = hit.job.seq, hit.job
        while time.monotonic() < self._until:
            with suppress(RedisUnavailable, ResultTimeout, JobNotFound):
                for event in follow(self._ledger, job.job_id, after=seq, timeout_s=LOOK_S):
                    seq = event.seq
                    if self._latest[job.job_id] is not hit or self._note(hit, event):
                        return
                return
            self._pause.wait(PAUSE_S)
        self.unseen.append(f"{hit.kind}: job {job.job_id} never went on")

    def _note(self, hit: Hit, event: Event) -> bool:
        """True once the job has gone on."""
        took_s = time.monotonic() - hit.at
        crossed = self._crossed(hit)
        if event.kind == "requeued" and event.attempt == hit.job.fence and not crossed:
            self.back_s[hit.kind].append(took_s)
        if event.kind not in PROGRESS or (hit.next_attempt and event.attempt <= hit.job.fence):
            return False
        (self.crossed_s if crossed else self.took_s[hit.kind]).append(took_s)
        log.info("%s: %s went on after %.3f s", hit.kind, hit.job, took_s)
        return True

    def _crossed(self, hit: Hit) -> bool:
        """Whether another fault was felt where the job is, since it was hit."""
        return any(
            blow.where in (hit.job.instance, "redis") and blow.over + AFTERMATH_S > hit.at
            for blow in self._blows
            if blow is not hit.blow
        )
