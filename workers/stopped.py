"""Why a running job gets no further token."""

from __future__ import annotations

from budgets import deadlines, episode_level
from ledger.episodes import read_episode
from ledger.errors import JobCancelled, JobFailed
from ledger.jobs import LEAVE, Control
from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.settings import Settings
from ledger.status import JobFacts, read_job
from workers.persist import persist


def control_of(facts: JobFacts | None, *, fence: int) -> Control:
    """What the ledger wants of a job that runs under ``fence``, as it stands."""
    if facts is None or facts.fence != fence or facts.state is not State.RUNNING:
        return "fenced"
    match facts.stop:
        case "":
            return "go"
        case "cancel":
            return "cancel"
        case "leave":
            return "leave"
    return "deadline"


def why_it_must_stop(ledger: Ledger, job_id: str, settings: Settings) -> JobFailed:
    """What a running job ends with of which the ledger wants no more; reads its entry."""
    entry = persist(ledger, read_job(job_id))
    why = entry and why_stopped(ledger, entry.facts, settings)
    return why or JobCancelled(job_id=job_id)  # its entry is gone: nobody can want it


def why_stopped(ledger: Ledger, facts: JobFacts, settings: Settings) -> JobFailed | None:
    """What a job that runs under ``facts`` ends with; None if it may go on."""
    if facts.stop == "cancel":
        return JobCancelled(job_id=facts.job_id)
    if facts.stop not in ("", LEAVE, deadlines.EPISODE):
        return deadlines.passed(facts.stop, facts.limits, facts.timeout_s)
    late = facts.now_ms > facts.deadline_ms
    if facts.episode_id is not None:
        level = episode_level(facts.tenant, facts.episode_id, settings)
        episode = persist(ledger, read_episode(level))
        if episode and episode.over and not (late and facts.deadline_ms < episode.deadline_ms):
            return deadlines.episode_ended(
                facts.episode_id, opened_ms=episode.opened_ms, deadline_ms=episode.deadline_ms
            )
    if late or facts.stop == deadlines.EPISODE:
        return deadlines.passed(deadlines.RUN, facts.limits, facts.timeout_s)
    return None
