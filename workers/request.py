"""Celery's view of a message in the parent process, where a lost child is noticed."""

from __future__ import annotations

from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker import state as worker_state
from celery.worker.request import Request

from workers.lost import settle_lost


class JobRequest(Request):
    """A request whose lost child is the ledger's business: next attempt, or the end."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """Asks the ledger what follows when the child was killed or crashed."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if not isinstance(error, WorkerLostError):
            return super().on_failure(exc_info, send_failed_event, return_ok)
        worker_state.task_ready(self)
        ended, why = settle_lost(self.app.context, self.id, self.worker_pid)
        self.acknowledge()
        event = "task-failed" if ended else "task-retried"
        self.send_event(event, exception=why, traceback="")
        return None
