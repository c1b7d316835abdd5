"""What follows when the process that ran a job is gone: the next attempt, or the job's end."""

from __future__ import annotations

import logging

from budgets import levels_of
from ledger import jobs, status, stream
from ledger.errors import ApexError, JobCancelled, JobDead, to_record
from ledger.messages import Result, State, Timings, Usage
from ledger.status import JobFacts
from workers.context import WorkerContext
from workers.persist import persist, until_back
from workers.stopped import why_stopped

log = logging.getLogger(__name__)

_STATES: dict[type[ApexError], State] = {JobDead: State.DEAD, JobCancelled: State.CANCELLED}


def settle_lost(context: WorkerContext, job_id: str) -> tuple[bool, str]:
    """Settles a job whose process ended without a word.

    Returns whether the job has ended, and the sentence that says why.
    """
    entry = persist(context.ledger, status.read_job(job_id))
    if entry is None or not _ours(entry.facts, context):
        # Lost between the wake-up and the claim: the job waits, and its wake-up is used up.
        persist(context.ledger, jobs.wake(job_id, instance=context.instance.name))
        return False, "The process was lost before it had the job."
    facts = entry.facts
    error: ApexError | None = why_stopped(context.ledger, facts, context.settings)
    if error is None:
        call = jobs.requeue(
            job_id,
            instance=facts.instance,
            fence=facts.fence,
            reason="worker lost",
            failed=True,
        )
        answer = persist(context.ledger, call)
        if answer in ("queued", "fenced"):
            log.warning("job %s: its process was lost; the next attempt follows", job_id)
            return False, "The process was lost; the next attempt follows."
        if answer == "stopped":  # since its entry was read, which now says why
            return settle_lost(context, job_id)
        error = JobDead(job_id=job_id, attempts=facts.failures + 1)
    _end(context, facts, error)
    log.warning("job %s: %s", job_id, error)
    return True, error.message


def _ours(facts: JobFacts, context: WorkerContext) -> bool:
    return facts.state is State.RUNNING and facts.owner == context.owner


def _end(context: WorkerContext, facts: JobFacts, error: ApexError) -> None:
    state = _STATES.get(type(error), State.FAILED)
    levels = levels_of(facts, context.settings)
    result = Result(
        job_id=facts.job_id,
        state=state,
        text=until_back(lambda: stream.text_of(stream.replay(context.ledger, facts.job_id))),
        usage=Usage(prompt_tokens=facts.prompt_tokens, completion_tokens=facts.made),
        finish_reason="cancelled" if state is State.CANCELLED else "error",
        instance=facts.instance,
        attempt=facts.failures + 1,
        timings=Timings(total_ms=facts.now_ms - facts.submitted_ms),
        error=to_record(error),
    )
    persist(
        context.ledger,
        jobs.finish(
            result,
            fence=facts.fence,
            levels=levels,
            model=context.instance.served_model,
            retention_ms=int(context.settings.retention_s * 1000),
            usage_ms=int(context.settings.usage_retention_s * 1000),
        ),
    )
