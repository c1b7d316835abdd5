"""What Celery starts with a worker: the guardian, and a frequent look for lost processes."""

from __future__ import annotations

import logging
import os
import select
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker import state as worker_state

from ledger import forgetting, instances
from ledger.errors import ApexError
from ledger.redis_client import Ledger
from workers.births import MOST_LOST
from workers.context import WorkerContext
from workers.guardian import Guardian
from workers.processes import kill
from workers.pulse import Pulse
from workers.strays import Work

log = logging.getLogger(__name__)

REAP_S = 0.2  # how often the hub looks for lost children; Celery's own takes seconds
NEVER_UP = (
    f"its process ended {MOST_LOST} times while it loaded the model; the model's file may be "
    "damaged inside, or the memory too small."
)


class GuardianStep(bootsteps.StartStopStep):
    """Starts the guardian with the worker, and has the hub look for lost children often."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kw: Any) -> None:
        super().__init__(worker, **kw)
        self._guardian: Guardian | None = None
        self._reaping: Any = None
        self._pulse = Pulse()

    def start(self, worker: Any) -> None:
        context: WorkerContext = worker.app.context

        self._guardian = Guardian(
            Ledger(context.settings.redis_url),
            context,
            job_ids=lambda: [request.id for request in tuple(worker_state.reserved_requests)],
            pool_pids=lambda: [process.pid for process in worker.pool._pool._pool],
            in_hand=lambda: _works(worker.pool._pool),
            give_up=partial(self._give_up, worker),
            pulse=self._pulse,
        )
        self._guardian.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        # Called again after each loss of the connection, at which Celery drops all timers; the pool
        # has just told the hub what to read.
        forget_dead_pipes(worker.pool._pool, hub)
        if self._reaping is not None:
            self._reaping.cancel()
        self._reaping = hub.call_repeatedly(REAP_S, self._reap, worker)

    def _reap(self, worker: Any) -> None:
        self._pulse.turn()
        pool, context = worker.pool._pool, worker.app.context
        pool.maintain_pool()
        if not context.births.look(*_living_and_up(pool)):
            return
        name = context.instance.name
        try:
            context.ledger.run(instances.set_state(name, context.owner, "failed", NEVER_UP))
        except ApexError as error:
            log.warning("%s", error)
        self._give_up(worker, f"{name} could not load its model: {NEVER_UP}")

    def _give_up(self, worker: Any, why: str) -> None:
        log.error("%s", why)
        worker.exitcode = os.EX_CONFIG  # whoever starts workers need not start this one again
        worker_state.should_terminate = 1

    def stop(self, worker: Any) -> None:
        """The pool, which waits for its processes, is stopped after this."""
        _end_loading(worker.pool._pool)
        if self._guardian is not None:
            self._guardian.see_off(worker.app.context.settings.grace_s)

    def terminate(self, worker: Any) -> None:
        if self._guardian is not None:
            self._guardian.see_off(0)


def _living_and_up(pool: Any) -> tuple[set[int], set[int]]:
    """The pids of the pool's processes, and of those that have their model."""
    living = {process.pid for process in pool._pool}
    return living, {process.pid for process in pool._fileno_to_inq.values()}


def _end_loading(pool: Any) -> None:
    """Ends the processes that have no model yet: what they wait for may take minutes to come."""
    living, up = _living_and_up(pool)
    for pid in living - up:
        kill(pid)


def _works(pool: Any) -> list[Work]:
    """What the pool's processes have begun and not reported. For any thread."""
    by_pid = {process.pid: process for process in tuple(pool._pool)}
    works = (
        Work(begun.correlation_id, pid)
        for begun in tuple(pool._cache.values())
        for pid in begun.worker_pids()
        if pid in by_pid and not forgetting.is_note(begun.correlation_id)
    )
    return [work for work in works if not _has_reported(by_pid[work.pid])]


def _has_reported(process: Any) -> bool:
    """True if the parent has something to read of it, as where Celery reads no more."""
    poll = select.poll()
    poll.register(process.outqR_fd, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


def forget_dead_pipes(pool: Any, hub: Any) -> None:
    """Has the hub read no pipe of a process that is gone.

    Celery closes such a pipe and at times keeps its number. When its connection is made anew it
    reads whatever has that number by then, such as the pipe on which a new process waits for its
    job, and stands still in that read for ever.
    """
    living = tuple(pool._pool)
    for number, process in tuple(pool._fileno_to_outq.items()):
        if process not in living:
            del pool._fileno_to_outq[number]
            hub.remove_reader(number)
