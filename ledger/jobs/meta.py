"""How a job looks to Celery."""

from __future__ import annotations

from typing import Any

from ledger.messages import Result, State

CELERY_STATES = {
    State.QUEUED: "PENDING",
    State.RUNNING: "STARTED",
    State.SUCCEEDED: "SUCCESS",
    State.FAILED: "FAILURE",
    State.EXPIRED: "FAILURE",
    State.DEAD: "FAILURE",
    State.CANCELLED: "REVOKED",
}


def celery_meta(result: Result) -> dict[str, Any]:
    """A terminal record as Celery's result backends write it; the result is the text."""
    value: Any = result.text
    if result.state is not State.SUCCEEDED:
        error = result.error or {}
        value = {
            "exc_type": "JobCancelled" if result.state is State.CANCELLED else "JobFailed",
            "exc_message": [str(error.get("message", result.state))],
            "exc_module": "ledger.errors",
        }
    return {
        "status": CELERY_STATES[result.state],
        "result": value,
        "traceback": None,
        "children": [],
        "date_done": None,
        "task_id": result.job_id,
    }
