"""What follows when a process is gone: its job's next attempt, or its end."""

from __future__ import annotations

from ledger import jobs, status
from ledger.messages import State
from ledger.status import JobFacts
from workers.books import Books
from workers.context import WorkerContext
from workers.persist import persist

PROCESS_LOST = "its process was lost"


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
