"""``celery -A workers control revoke ID``, and Flower's buttons, cancel a job in the ledger.

Celery's own commands keep a list of ids that a worker refuses, which would refuse later attempts of
the job too, and end a pool process whatever it does by then. The ledger does neither: a waiting job
ends at once, a running one at its next token, or by its worker's guardian. Any worker can do it.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker.control import Panel

from budgets.cancelling import cancel
from ledger.errors import ApexError
from ledger.steps import drive

log = logging.getLogger(__name__)


def revoke(state: Any, task_id: Any, terminate: bool = False, **_: Any) -> dict[str, str]:
    """Cancel jobs by their ids; with terminate too, nothing else happens."""
    context = state.app.context
    done, failed = [], []
    for job_id in maybe_list(task_id) or ():
        try:
            done.append(f"{job_id}: {drive(context.ledger, cancel(job_id, context.settings))}")
        except ApexError as error:
            failed.append(error.message)
    said = " ".join(failed) or ", ".join(done)
    log.info("revoke: %s", said)
    return {"error": said} if failed else {"ok": said}


def terminate(state: Any, signal: Any, task_id: Any, **_: Any) -> dict[str, str]:
    """Cancel jobs by their ids, whatever the signal."""
    return revoke(state, task_id)


def replace_commands() -> None:
    """Puts ours in the place of Celery's; their signatures, for the shell, stay."""
    Panel.data.update({"revoke": revoke, "terminate": terminate})
