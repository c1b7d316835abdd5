"""Dead letters: jobs that were given up, for people who want to know why or to try again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ledger import keys
from ledger.errors import JobDead
from ledger.messages import Event
from ledger.scripts import Call

MOST_DEAD = 10_000  # the oldest notes go first
MOST_ATTEMPTS = 20  # the latest ones that an error tells of

History = list[dict[str, Any]]


def note_dead(job_id: str, *, keep_ms: int) -> Call[int]:
    """Notes a job that is given up in the next step. Reads as Redis' time, ms.

    Before that step, so that none can be forgotten; a note of a job that then ended otherwise is
    passed over by whoever reads.
    """
    return Call("note_dead", [keys.DEAD], [job_id, keep_ms, MOST_DEAD], int)


def read_dead(*, first: int, count: int) -> Call[list[str]]:
    """Ids of jobs that were given up, the latest first, from number ``first`` on."""
    return Call("read_dead", [keys.DEAD], [first, count], list)


def read_request(job_id: str) -> Call[str]:
    """What a job was asked, as JSON; empty if it is gone."""
    return Call("read_request", [keys.request(job_id)], [], str)


def drop_dead(job_id: str) -> Call[bool]:
    """Removes a job that was given up; reads as False if there is none."""
    names = [keys.job(job_id), keys.request(job_id), keys.stream(job_id), keys.result(job_id)]
    return Call("drop_dead", [keys.DEAD, *names], [job_id], bool)


def given_up(
    job_id: str, events: Iterable[Event], *, instance: str, reason: str, now_ms: int
) -> JobDead:
    """The error of a job whose last attempt failed at ``now_ms`` for ``reason``.

    ``events`` of its stream tell of the attempts before. Its facts: ``attempts``, ``reason``, and
    ``history``: of each attempt ``attempt``, ``at`` (UTC, as ISO 8601), ``instance``, ``reason``.
    """
    failures = [one for one in events if one.failed]
    history = [
        _attempt(number, one.at_ms, one.instance, one.reason)
        for number, one in enumerate(failures, 1)
    ]
    history.append(_attempt(len(failures) + 1, now_ms, instance, reason))
    return JobDead(
        job_id=job_id,
        attempts=len(history),
        reason=reason,
        history=history[-MOST_ATTEMPTS:],
    )


def _attempt(number: int, at_ms: int, instance: str, reason: str) -> dict[str, Any]:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {"attempt": number, "at": at, "instance": instance, "reason": reason}
