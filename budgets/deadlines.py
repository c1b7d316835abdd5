"""How long a job may take: which of its time limits it has passed, and what that is called.

Four limits of the job, and one of its episode. Redis' own times, in ms; nothing here reads a clock.
"""

from __future__ import annotations

from typing import Protocol

from ledger.errors import DeadlineExceeded, JobExpired
from ledger.limits import Limits

QUEUE = "queue_timeout_s"
FIRST_TOKEN = "first_token_timeout_s"
TOKEN = "token_timeout_s"
RUN = "timeout_s"
EPISODE = "episode"

STALLED_MS = 1000  # who made nothing for so long is not going to look whether it should stop

SENTENCES = {
    FIRST_TOKEN: "No first token came within {:g} s; raise first_token_timeout_s, "
    "shorten the prompt, or see the worker's log.",
    TOKEN: "No further token came within {:g} s; raise token_timeout_s, or see the worker's log.",
    RUN: "The job ran for longer than its {:g} s; raise timeout_s or lower max_tokens.",
}


class Runs(Protocol):
    """What the guardian knows of a running job."""

    @property
    def claimed_ms(self) -> int: ...
    @property
    def progress_ms(self) -> int: ...
    @property
    def deadline_ms(self) -> int: ...
    @property
    def episode_deadline_ms(self) -> int: ...
    @property
    def stop(self) -> str: ...
    @property
    def limits(self) -> Limits: ...


def overdue(job: Runs, now_ms: int, *, heard_since_ms: int) -> str:
    """Why the process of a job must be ended: a limit that has passed, its own ``stop``, or ''.

    ``heard_since_ms``: since when Redis has answered without a pause. Before that the job may have
    made tokens that nobody could see, so that time is not idle time.
    """
    idle_ms = now_ms - max(job.progress_ms, heard_since_ms)
    if idle_ms > STALLED_MS:
        if job.stop:
            return job.stop
        if now_ms > job.deadline_ms:
            return RUN
        if 0 < job.episode_deadline_ms < now_ms:
            return EPISODE
    begun = job.progress_ms > job.claimed_ms
    patience_s = job.limits.token_s if begun else job.limits.first_token_s
    if patience_s is not None and idle_ms > patience_s * 1000:
        return TOKEN if begun else FIRST_TOKEN
    return ""


def passed(limit: str, limits: Limits, timeout_s: float) -> DeadlineExceeded:
    """The error of a job that has passed ``limit``, one of its own."""
    seconds = {FIRST_TOKEN: limits.first_token_s, TOKEN: limits.token_s}.get(limit) or timeout_s
    return DeadlineExceeded(
        SENTENCES[limit].format(seconds), limit=limit, timeout_s=seconds, scope="job"
    )


def waited(queue_timeout_s: float | None, *, attempts: int, queued_ms: int) -> JobExpired | None:
    """The error of a job that waited for too long until its first claim; None if it did not.

    A job that ran before, and made way or lost its process, has no such limit.
    """
    if queue_timeout_s is None or attempts > 1 or queued_ms <= queue_timeout_s * 1000:
        return None
    return JobExpired(limit=QUEUE, timeout_s=queue_timeout_s, scope="job")


def episode_ended(episode_id: str, *, opened_ms: int, deadline_ms: int) -> DeadlineExceeded:
    """The error of a job whose episode is past its deadline."""
    lasted_s = round((deadline_ms - opened_ms) / 1000, 3)
    return DeadlineExceeded(
        f"Episode {episode_id} is past its deadline, {lasted_s:g} s after it was opened; "
        "open it with a longer timeout_s, or raise APEX_EPISODE_TIMEOUT_S or "
        "APEX_EPISODE_TIMEOUT_MAX_S.",
        limit=EPISODE,
        timeout_s=lasted_s,
        scope=f"episode:{episode_id}",
        episode_id=episode_id,
    )
