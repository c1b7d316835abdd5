"""The steps of a cancel: what the job has made by then is charged to all its levels."""

from __future__ import annotations

from budgets.levels import levels_of
from ledger import jobs, status
from ledger.errors import JobCancelled, JobNotFound, to_record
from ledger.messages import Result, State, Usage
from ledger.settings import Settings
from ledger.steps import Steps


def cancel(job_id: str, settings: Settings) -> Steps[str]:
    """Cancels a job: a waiting one ends here and now, a running one is told to stop.

    Returns ``cancelled``, ``stopping``, or the terminal state that it had.

    Raises:
        JobNotFound, CorruptEntry
    """
    while True:
        entry: status.JobEntry | None = yield status.read_job(job_id)
        if entry is None:
            raise JobNotFound(job_id=job_id)
        facts = entry.facts
        if facts.state.terminal:
            return str(facts.state)
        result = Result(
            job_id=job_id,
            state=State.CANCELLED,
            usage=Usage(prompt_tokens=facts.prompt_tokens, completion_tokens=facts.made),
            finish_reason="cancelled",
            instance=facts.instance,
            attempt=facts.failures + 1,
            error=to_record(JobCancelled(job_id=job_id)),
        )
        answer: str = yield jobs.cancel(
            result,
            levels=levels_of(facts, settings),
            retention_ms=int(settings.retention_s * 1000),
            usage_ms=int(settings.usage_retention_s * 1000),
        )
        if answer != "moved":
            return answer
