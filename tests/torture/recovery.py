"""How long a job took from a fault to its next progress."""

from __future__ import annotations

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

MOST_S = 120.0
PAUSE_S = 0.05
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


class Recoveries:
    """Follows the jobs that a fault hit, each from a thread of its own."""

    def __init__(self, url: str) -> None:
        self._ledger = Ledger(url)
        self._threads: list[threading.Thread] = []
        self._pause = threading.Event()  # never set: for pauses
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

    def watch(self, kind: str, job: Running, *, next_attempt: bool) -> None:
        """From now on counts until the job's next event; ``next_attempt``: of another attempt."""
        struck_at = time.monotonic()
        thread = threading.Thread(
            target=self._follow, args=(kind, job, next_attempt, struck_at), daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Waits until every job that is watched has gone on."""
        for thread in self._threads:
            thread.join()
        self._ledger.close()

    def _follow(self, kind: str, job: Running, next_attempt: bool, struck_at: float) -> None:
        while (left_s := struck_at + MOST_S - time.monotonic()) > 0:
            with suppress(RedisUnavailable, ResultTimeout, JobNotFound):
                for event in follow(self._ledger, job.job_id, after=job.seq, timeout_s=left_s):
                    if event.kind in PROGRESS and (not next_attempt or event.attempt > job.fence):
                        self.took_s[kind].append(time.monotonic() - struck_at)
                        return
                    if _was_over(event):
                        return
                return
            self._pause.wait(PAUSE_S)
        self.unseen.append(f"{kind}: job {job.job_id} made no progress within {MOST_S:g} s")


def _was_over(event: Event) -> bool:
    """It came to its end in the moment of the fault, or the fault was its last attempt's."""
    return event.kind == "end"
