"""Why an attempt ended, in one sentence without its full stop."""

from __future__ import annotations

from ledger.errors import ApexError

LONGEST_REASON = 300


def reason(error: ApexError) -> str:
    """For the job's own events."""
    return _in_short(error.message)


def told(error: ApexError) -> str:
    """For the log and for what Celery shows, which are not for the job's owner alone."""
    return _in_short(error.unquoted)


def _in_short(message: str) -> str:
    return " ".join(message.split()).rstrip(".")[:LONGEST_REASON]
