"""The parent's thread that keeps the instance and its leases alive, and ends what hangs.

It needs nothing of Celery but the ids of the jobs in hand and the processes of the pool.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from budgets import deadlines
from ledger import instances, jobs, keys
from ledger.errors import ApexError
from ledger.instances import Beat, RunningJob
from ledger.redis_client import Ledger
from workers.context import WorkerContext
from workers.lost import settle_lost
from workers.nudge import nudge
from workers.processes import alive, kill
from workers.pulse import Pulse
from workers.strays import Strays, Work
from workers.ticker import Ticker

log = logging.getLogger(__name__)

TICK_S = 0.5
SILENCE_MS = 2000  # between two answers of Redis: what was made meanwhile could not be seen
HEEDED = ("cancel", jobs.LEAVE)  # what a process can hear of without a chunk
DEAF_MS = 1000  # who was nudged so long ago and has not stopped never will
HAND_BACK_S = 1.5  # from a word that a worker ends until its jobs are taken from their processes
LOOK_S = 0.1  # how often a worker that ends looks whether its jobs have

WHY = {
    "cancel": "it was cancelled",
    jobs.LEAVE: "its worker ends",
    deadlines.RUN: "it ran out of time",
    deadlines.FIRST_TOKEN: "no first token came",
    deadlines.TOKEN: "no further token came",
    deadlines.EPISODE: "its episode is over",
}


class Guardian:
    """Beats for one instance, from a thread in the worker's parent process."""

    def __init__(
        self,
        ledger: Ledger,
        context: WorkerContext,
        *,
        job_ids: Callable[[], list[str]],
        pool_pids: Callable[[], Iterable[int]],
        in_hand: Callable[[], Iterable[Work]],
        give_up: Callable[[str], None],
        pulse: Pulse,
    ) -> None:
        self._ledger, self._context = ledger, context
        self._job_ids, self._pool_pids, self._in_hand = job_ids, pool_pids, in_hand
        self._give_up, self._pulse = give_up, pulse
        self._running: tuple[RunningJob, ...] = ()  # as the ledger had them at the last tick
        self._nudged: dict[tuple[str, int], int] = {}  # since when, in Redis' time
        self._lost: set[str] = set()  # jobs whose process is gone: their leases are not renewed
        self._killed: set[tuple[str, int]] = set()
        self._strays = Strays()
        self._astray: set[Work] = set()  # at the last tick
        self._silent = False
        self._heard_ms = 0  # when Redis answered last, in its own time
        self._heard_since_ms = 0  # since when without a pause
        self._ticker = Ticker("guardian", self._beat, pause_s=TICK_S)

    def start(self) -> None:
        """Starts the thread."""
        self._ticker.start()

    def _beat(self) -> float:
        try:
            self.tick()
            self._silent = False
        except ApexError as error:
            if not self._silent:
                log.warning("%s", error)
            self._silent = True
        return TICK_S

    def tick(self) -> None:
        """One sign of life, and what follows from its answer."""
        self._look([job_id for job_id in self._job_ids() if job_id not in self._lost])
        if self._pulse.is_gone():
            self._break_off()

    def _break_off(self) -> None:
        """Ends a worker that takes no job any more, as if it were killed: what it has in hand goes
        on elsewhere, or here once it is started again.
        """
        log.critical(
            "%s: Celery's event loop stands still; this worker ends and is to be started again.",
            self._context.instance.name,
        )
        for pid in self._pool_pids():
            kill(pid)
        os._exit(os.EX_SOFTWARE)

    def see_off(self, grace_s: float) -> None:
        """Lets running jobs end for ``grace_s``, and gives back those that have not; when a worker
        ends. They keep their text, and no attempt is spent.
        """
        gone = self._ticker.stopped
        self._ticker.stop()  # from here on it is this thread that ticks
        if gone:
            return
        try:
            if not self._idle_within(grace_s):
                for job in self._running:
                    self._ledger.run(jobs.stop(job.job_id, fence=job.fence, why=jobs.LEAVE))
                self._idle_within(HAND_BACK_S)
            for job in self._running:
                self._take_back(job)
            self._end(self._astray)  # the pool would wait for them
        except ApexError as error:
            log.warning("%s The jobs that run here go on elsewhere when their leases end.", error)

    def _idle_within(self, patience_s: float) -> bool:
        """Ticks until no process works on a job any more; False if one still does."""
        until = time.monotonic() + patience_s
        name, pause = keys.running(self._context.instance.name), threading.Event()
        while True:
            with self._ledger.translated():  # Celery forgets jobs in hand when it ends
                job_ids: Any = self._ledger.redis.zrange(name, 0, -1)
            self._look(job_ids)
            if not self._astray and all(job.job_id in self._lost for job in self._running):
                return True
            if time.monotonic() >= until:
                return False
            pause.wait(LOOK_S)

    def _take_back(self, job: RunningJob) -> None:
        """Gives back a job whose process does not do it."""
        call = jobs.requeue(
            job.job_id,
            instance=self._context.instance.name,
            fence=job.fence,
            reason=jobs.LEAVE,
            failed=False,
        )
        answer = self._ledger.run(call)  # before its process is gone, which would be an attempt
        log.warning("job %s: its worker ends, and so does its process %d", job.job_id, job.pid)
        if job.pid in set(self._pool_pids()):
            kill(job.pid)
        if answer == "stopped":  # it was cancelled, or out of time
            settle_lost(self._context, job.job_id, job.pid)

    def _look(self, job_ids: Sequence[str]) -> None:
        beat = self._ledger.run(
            instances.beat(
                self._context.instance.name,
                self._context.owner,
                lease_ms=int(self._context.settings.lease_s * 1000),
                job_ids=job_ids,
            )
        )
        if self._must_go(beat):
            return
        self._hear(beat.now_ms)
        if self._context.instance.slots > 1:
            self._ledger.run(jobs.release(self._context.instance.name))
        pids = set(self._pool_pids())
        self._running = beat.jobs
        self._lost = {job.job_id for job in beat.jobs if not alive(job.pid)}
        known = {(job.job_id, job.fence) for job in beat.jobs}
        self._killed &= known
        self._nudged = {job: since for job, since in self._nudged.items() if job in known}
        for job in beat.jobs:
            if job.job_id not in self._lost and job.pid in pids:
                self._judge(job, beat.now_ms)
        self._look_for_strays(beat)

    def _look_for_strays(self, beat: Beat) -> None:
        theirs = {Work(job.job_id, job.pid) for job in beat.jobs}
        self._astray = self._strays.look(self._in_hand(), theirs, beat.now_ms)
        for stray in self._astray:
            nudge(stray.pid)
        self._end(self._strays.deaf(beat.now_ms, self._heard_since_ms))

    def _end(self, strays: Iterable[Work]) -> None:
        for stray in strays:
            log.warning(
                "job %s: ending the process %d, which works on it still though the ledger gave it "
                "to another attempt",
                *stray,
            )
            kill(stray.pid)

    def _hear(self, now_ms: int) -> None:
        """Notes that Redis answered; after an outage nobody has been idle yet."""
        if now_ms - self._heard_ms > SILENCE_MS:
            self._heard_since_ms = now_ms
        self._heard_ms = now_ms

    def _must_go(self, beat: Beat) -> bool:
        name = self._context.instance.name
        if beat.taken:
            self._give_up(f"another worker serves {name} by now; this one ends.")
        elif beat.state == "failed":
            self._give_up(f"{name} could not load its model; the reason stands above.")
        else:
            return False
        self._ticker.stop()
        return True

    def _deaf(self, job: RunningJob, now_ms: int) -> bool:
        """Nudges a process that is to stop; whether it has not heeded that."""
        nudge(job.pid)
        return now_ms - self._nudged.setdefault((job.job_id, job.fence), now_ms) > DEAF_MS

    def _judge(self, job: RunningJob, now_ms: int) -> None:
        """Kills the process of a job that is past a time limit, or deaf to a cancel."""
        if job.stop in HEEDED and not self._deaf(job, now_ms):
            return
        why = deadlines.overdue(job, now_ms, heard_since_ms=self._heard_since_ms)
        if not why or (job.job_id, job.fence) in self._killed:
            return
        # The ledger knows why before the process is gone; and it may have ended in the meantime.
        if not self._ledger.run(jobs.stop(job.job_id, fence=job.fence, why=why)):
            return
        self._killed.add((job.job_id, job.fence))
        log.warning("job %s: ending its process %d, for %s", job.job_id, job.pid, WHY[why])
        kill(job.pid)
