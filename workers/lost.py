"""What follows when a process or a whole worker is gone: its job's next attempt, or its end."""

from __future__ import annotations

import logging

from budgets import levels_of
from ledger import jobs, status
from ledger.answer import answer_of
from ledger.errors import ApexError, JobCancelled, JobDead, to_record
from ledger.messages import Result, State, Timings, Usage
from ledger.redis_client import Ledger
from ledger.settings import Settings
from ledger.status import JobFacts
from workers.context import WorkerContext
from workers.giving_up import events_of, give_up, retention_ms
from workers.persist import persist
from workers.stopped import why_stopped

log = logging.getLogger(__name__)

PROCESS_LOST = "its process was lost"
WORKER_LOST = "its worker was lost"

_STATES: dict[type[ApexError], State] = {JobDead: State.DEAD, JobCancelled: State.CANCELLED}


def settle_lost(context: WorkerContext, job_id: str, pid: int | None = None) -> tuple[bool, str]:
    """Settles a job whose process, one of this worker's, ended without a word.

    ``pid``: the process's, if it is known; the job may run in another one by now.

    Returns whether the job has ended, and the sentence that says why.
    """
    entry = persist(context.ledger, status.read_job(job_id))
    if entry is None or not _ours(entry.facts, context, pid):
        # Lost between the wake-up and the claim, or it had lost the job: if that waits here, its
        # wake-up is used up.
        persist(context.ledger, jobs.wake(job_id, instance=context.instance.name))
        return False, "The process was lost before it had the job."
    context.births.came_up()
    books = Books(context.ledger, context.settings)
    error = books.settle(entry.facts, PROCESS_LOST, model=context.instance.served_model)
    if error is None:
        return False, "The process was lost; the next attempt follows."
    return True, error.message


def _ours(facts: JobFacts, context: WorkerContext, pid: int | None) -> bool:
    running_here = facts.state is State.RUNNING and facts.owner == context.owner
    return running_here and pid in (None, facts.pid)


class Books:
    """Settles lost attempts in the ledger."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings

    def settle(
        self, facts: JobFacts, reason: str, *, model: str, lease_over: bool = False
    ) -> ApexError | None:
        """Has the next attempt follow, or ends the job.

        ``model``: of its instance. ``lease_over``: nothing is done unless its lease has run out.

        Returns what the job ended with; None if it goes on.
        """
        job_id = facts.job_id
        error: ApexError | None = why_stopped(self._ledger, facts, self._settings)
        if error is None:
            answer = self._try_again(facts, reason, lease_over)
            if answer == "queued":
                log.warning("job %s: %s; the next attempt follows", job_id, reason)
            if answer == "stopped":  # since its entry was read, which now says why
                entry = persist(self._ledger, status.read_job(job_id))
                if entry is not None and entry.facts.fence == facts.fence:
                    return self.settle(entry.facts, reason, model=model, lease_over=lease_over)
            if answer != "exhausted":
                return None
            error = give_up(self._ledger, self._settings, job_id, facts.instance, reason)
        self._end(facts, error, model)
        log.warning("job %s: %s", job_id, error)
        return error

    def _try_again(self, facts: JobFacts, reason: str, lease_over: bool) -> str:
        call = jobs.requeue(
            facts.job_id,
            instance=facts.instance,
            fence=facts.fence,
            reason=reason,
            failed=facts.stop != jobs.LEAVE,  # its worker was told to end
            lease_over=lease_over,
        )
        return persist(self._ledger, call)

    def _end(self, facts: JobFacts, error: ApexError, model: str) -> None:
        state = _STATES.get(type(error), State.FAILED)
        result = Result(
            job_id=facts.job_id,
            state=state,
            **answer_of(events_of(self._ledger, facts.job_id)).fields,
            usage=Usage(prompt_tokens=facts.prompt_tokens, completion_tokens=facts.made),
            finish_reason="cancelled" if state is State.CANCELLED else "error",
            instance=facts.instance,
            attempt=facts.failures + 1,
            timings=Timings(total_ms=facts.now_ms - facts.submitted_ms),
            error=to_record(error),
        )
        call = jobs.finish(
            result,
            fence=facts.fence,
            levels=levels_of(facts, self._settings),
            model=model,
            retention_ms=retention_ms(state, self._settings),
            usage_ms=int(self._settings.usage_retention_s * 1000),
        )
        persist(self._ledger, call)
