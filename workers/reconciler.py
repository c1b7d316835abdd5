"""Brings back what was lost on any instance. One worker of all does it, in a thread of its parent.

Its work is what is wrong, not what there is: the ledger keeps leases, wake-ups, pauses and time
limits in the order of their ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from budgets import deadlines, levels_of
from ledger import recovery, status
from ledger.errors import CorruptEntry, to_record
from ledger.jobs import wake
from ledger.listing import read_facts, read_lineup
from ledger.messages import Result, State, Timings
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec, Settings
from ledger.status import JobFacts
from ledger.steps import drive
from routing.rehoming import rehome
from workers.books import Books
from workers.context import WorkerContext
from workers.ticker import Ticker, TickerStep

log = logging.getLogger(__name__)

TICK_S = 1.0
TERM_TICKS = 3  # a worker that did not ask for so long is no longer the one that repairs
PATIENCE_MS = 2000  # a wake-up that was popped is claimed in milliseconds
WORKER_LOST = "its worker was lost"


class Reconciler:
    """Asks to be the one that repairs, and repairs."""

    def __init__(self, ledger: Ledger, owner: str, settings: Settings) -> None:
        self._ledger, self._owner, self._settings = ledger, owner, settings
        self._books = Books(ledger, settings)
        # Several ticks fit into a lease, however short: silence for a third of one is an outage.
        self.tick_s = min(TICK_S, settings.lease_s / 10)
        self._damaged: set[str] = set()  # jobs and instances that cannot be read: said once
        self._asleep: set[str] = set()  # jobs that could not be woken at the last tick

    def tick(self) -> bool:
        """Repairs what is wrong now, if that is this worker's task; returns whether it is.

        Raises:
            RedisUnavailable
        """
        lease_ms = int(self._settings.lease_s * 1000)
        call = recovery.reconcile(
            self._owner,
            term_ms=int(self.tick_s * TERM_TICKS * 1000),
            silence_ms=lease_ms // 3,
        )
        duty = self._ledger.run(call)
        if duty is None:
            return False
        # After an outage of Redis every lease is given the time to be renewed.
        leases_count = duty.now_ms - duty.since_ms >= lease_ms
        for instance, model in duty.models.items():
            over = self._mend(instance)
            for job_id in over if leases_count else ():
                self._each(job_id, partial(self._recover, model))
        self._wake(duty.rested)
        for job_id in duty.late:
            self._each(job_id, self._expire)
        moved = drive(self._ledger, rehome(self._settings.absent_s, absence_counts=leases_count))
        if moved:
            log.warning("%d waiting jobs moved, as instances came or went", moved)
        return True

    def _mend(self, instance: str) -> list[str]:
        """Repairs an instance's wake-ups; returns the jobs there whose lease is over."""
        try:
            ageing_ms = int(self._settings.ageing_s * 1000)
            call = recovery.mend(instance, patience_ms=PATIENCE_MS, ageing_ms=ageing_ms)
            return self._ledger.run(call)
        except CorruptEntry as error:  # it does not keep the others waiting
            if instance not in self._damaged:
                log.error("%s: %s", instance, error)
                self._damaged.add(instance)
            return []

    def _wake(self, rested: Mapping[str, str]) -> None:
        """Wakes jobs by instance, all in one round trip; a damaged one keeps no other waiting."""
        calls = [wake(job_id, instance=instance) for job_id, instance in rested.items()]
        answers = self._ledger.run_many(calls)
        failed = {
            job_id: answer
            for job_id, answer in zip(rested, answers, strict=True)
            if isinstance(answer, Exception)
        }
        for job_id in failed.keys() - self._asleep:
            log.error("job %s cannot be woken: %s", job_id, failed[job_id])
        self._asleep = set(failed)

    def _each(self, job_id: str, repair: Callable[[JobFacts], None]) -> None:
        """Repairs one job; one that is damaged does not keep the others waiting."""
        if job_id in self._damaged:
            return
        try:
            entry = self._ledger.run(status.read_job(job_id))
            if entry is not None:
                repair(entry.facts)
        except CorruptEntry as error:
            log.error("%s", error)
            self._damaged.add(job_id)

    def _recover(self, model: str, facts: JobFacts) -> None:
        if facts.state is State.RUNNING:
            self._books.settle(facts, WORKER_LOST, model=model, lease_over=True)

    def _expire(self, facts: JobFacts) -> None:
        queued_ms = facts.now_ms - facts.submitted_ms
        error = deadlines.waited(facts.limits.queue_s, attempts=1, queued_ms=queued_ms)
        if error is None:
            return
        result = Result(
            job_id=facts.job_id,
            state=State.EXPIRED,
            finish_reason="error",
            instance=facts.instance,
            timings=Timings(queued_ms=queued_ms, total_ms=queued_ms),
            error=to_record(error),
        )
        call = recovery.expire(
            result,
            levels=levels_of(facts, self._settings),
            retention_ms=int(self._settings.retention_s * 1000),
        )
        if self._ledger.run(call):
            log.info("job %s: %s", facts.job_id, error)


def take_over(ledger: Ledger, settings: Settings, instance: InstanceSpec, *, gone: str) -> None:
    """Brings back what the last worker of an instance had in hand, before this one begins.

    ``gone``: the owner whose process is known to have ended; its jobs need not wait for the end of
    their leases. Empty: nobody knows.
    """
    ledger.run(recovery.mend(instance.name, patience_ms=0))
    if not gone:
        return
    books = Books(ledger, settings)
    lineup = ledger.run(read_lineup(instance.name, first=0, count=1))
    for facts in ledger.run(read_facts(lineup.running)):
        if facts.state is State.RUNNING and facts.owner == gone:
            books.settle(facts, WORKER_LOST, model=instance.served_model)


class ReconcilerStep(TickerStep):
    """Starts and stops the reconciler with the worker."""

    def make(self, worker: Any) -> Ticker:
        context: WorkerContext = worker.app.context
        reconciler = Reconciler(Ledger(context.settings.redis_url), context.owner, context.settings)

        def tick() -> float:
            reconciler.tick()
            return reconciler.tick_s

        return Ticker("reconciler", tick, pause_s=reconciler.tick_s)
