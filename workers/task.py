"""The one task. A message carries a job's id and nothing else; the work is the runner's."""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.exceptions import Ignore, Retry

from ledger.errors import CorruptEntry, JobFailed
from ledger.messages import State
from workers.outcome import Outcome

TASK_NAME = "apexq.run"


class JobTask(Task):
    """Hands the job named by the message to this process's runner.

    Celery's own states follow the ledger's: a job given back shows as retried, one that failed as
    failed, and a wake-up that no longer applied leaves no trace of success.
    """

    name = TASK_NAME
    Request = "workers.request:JobRequest"
    throws = (JobFailed, CorruptEntry)  # expected: one line in the log, no traceback
    max_retries = None

    def run(self) -> str:
        """Returns the job's state; the text stays in the ledger, out of logs and events."""
        outcome, why = self.app.context.runner.run(self.request.id)
        match outcome:
            case Outcome.NOOP:
                if why == State.CANCELLED:  # while it waited: nobody has told the listeners yet
                    self._announce_cancelled()
                raise Ignore
            case Outcome.REQUEUED:
                raise Retry(why)
            case Outcome.CANCELLED:
                self._announce_cancelled()
                raise Ignore
            case Outcome.FAILED | Outcome.EXPIRED | Outcome.DEAD:
                raise JobFailed(why)
        return str(outcome)

    def _announce_cancelled(self) -> None:
        """Flower and other listeners show the task as revoked."""
        facts: dict[str, Any] = {"terminated": True, "signum": None, "expired": False}
        self.send_event("task-revoked", retry=False, **facts)
