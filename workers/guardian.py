"""The parent's thread that keeps the instance and its leases alive, and ends what hangs.

It needs nothing of Celery but the ids of the jobs in hand and the pids of the pool.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

from celery import bootsteps
from celery.worker import state as worker_state

from ledger import instances
from ledger.errors import ApexError
from ledger.instances import Beat, RunningJob
from ledger.redis_client import Ledger
from workers.context import WorkerContext
from workers.processes import alive

log = logging.getLogger(__name__)

TICK_S = 0.5
STALL_MS = 1000  # a cancelled job that made nothing for so long is not going to look by itself
REAP_S = 0.2  # how often the hub looks for lost children; Celery's own takes seconds


class Guardian:
    """Beats for one instance, from a thread in the worker's parent process."""

    def __init__(
        self,
        ledger: Ledger,
        context: WorkerContext,
        *,
        job_ids: Callable[[], list[str]],
        pool_pids: Callable[[], Iterable[int]],
        give_up: Callable[[str], None],
    ) -> None:
        self._ledger, self._context = ledger, context
        self._job_ids, self._pool_pids, self._give_up = job_ids, pool_pids, give_up
        self._stopped = threading.Event()
        self._lost: set[str] = set()  # jobs whose process is gone: their leases are not renewed
        self._killed: set[tuple[str, int]] = set()
        self._silent = False
        self._thread = threading.Thread(target=self._work, name="guardian", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join(timeout=1)

    def _work(self) -> None:
        while not self._stopped.wait(TICK_S):
            try:
                self.tick()
                self._silent = False
            except ApexError as error:
                if not self._silent:
                    log.warning("%s", error)
                self._silent = True
            except Exception:
                log.exception("the guardian's tick failed")

    def tick(self) -> None:
        """One sign of life, and what follows from its answer."""
        job_ids = [job_id for job_id in self._job_ids() if job_id not in self._lost]
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
        pids = set(self._pool_pids())
        self._lost = {job.job_id for job in beat.jobs if not alive(job.pid)}
        for job in beat.jobs:
            if job.job_id not in self._lost and job.pid in pids:
                self._judge(job, beat.now_ms)

    def _must_go(self, beat: Beat) -> bool:
        name = self._context.instance.name
        if beat.taken:
            self._give_up(f"another worker serves {name} by now; this one ends.")
        elif beat.state == "failed":
            self._give_up(f"{name} could not load its model; the reason stands above.")
        else:
            return False
        self._stopped.set()
        return True

    def _judge(self, job: RunningJob, now_ms: int) -> None:
        """Kills the process of a job that is past its deadline or deaf to a cancel."""
        stalled = now_ms - job.progress_ms > STALL_MS
        late = now_ms > job.deadline_ms and stalled
        deaf = job.stop == "cancel" and stalled
        if not (late or deaf) or (job.job_id, job.fence) in self._killed:
            return
        self._killed.add((job.job_id, job.fence))
        why = "it ran out of time" if late else "it was cancelled"
        log.warning("job %s: ending its process %d, for %s", job.job_id, job.pid, why)
        os.kill(job.pid, signal.SIGKILL)


class GuardianStep(bootsteps.StartStopStep):
    """Starts the guardian with the worker, and has the hub look for lost children often."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kw: Any) -> None:
        super().__init__(worker, **kw)
        self._guardian: Guardian | None = None
        self._reaping = False

    def start(self, worker: Any) -> None:
        context: WorkerContext = worker.app.context

        def give_up(why: str) -> None:
            log.error("%s", why)
            worker_state.should_terminate = 1

        self._guardian = Guardian(
            Ledger(context.settings.redis_url),
            context,
            job_ids=lambda: [request.id for request in tuple(worker_state.reserved_requests)],
            pool_pids=lambda: [process.pid for process in worker.pool._pool._pool],
            give_up=give_up,
        )
        self._guardian.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        if not self._reaping:
            self._reaping = True
            hub.call_repeatedly(REAP_S, worker.pool._pool.maintain_pool)

    def stop(self, worker: Any) -> None:
        if self._guardian is not None:
            self._guardian.stop()

    terminate = stop
