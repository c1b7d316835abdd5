"""The steps of a job's life. Each function describes one atomic script call; a ledger makes it."""

from ledger.jobs.claiming import Claim, Noop, claim
from ledger.jobs.ending import RETENTION_MS, USAGE_MS, cancel, finish
from ledger.jobs.giving_back import Rest, fall_back, requeue
from ledger.jobs.meta import CELERY_STATES, celery_meta
from ledger.jobs.running import LEAVE, Control, emit, hold, stop
from ledger.jobs.submission import Accepted, Submission, submit, submit_many
from ledger.jobs.waking import release, wake

__all__ = [
    "CELERY_STATES",
    "LEAVE",
    "RETENTION_MS",
    "USAGE_MS",
    "Accepted",
    "Claim",
    "Control",
    "Noop",
    "Rest",
    "Submission",
    "cancel",
    "celery_meta",
    "claim",
    "emit",
    "fall_back",
    "finish",
    "hold",
    "release",
    "requeue",
    "stop",
    "submit",
    "submit_many",
    "wake",
]
