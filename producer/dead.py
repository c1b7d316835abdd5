"""Dead letters: jobs that were given up after their last attempt, as steps."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from ledger import dead, listing, status
from ledger.errors import CorruptEntry, JobNotFound
from ledger.messages import Request, Result, State
from ledger.status import JobEntry, JobFacts
from ledger.steps import Steps
from producer.operations import Operations, Order, new_job_id

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that was given up, and its record; that is None where it is gone."""

    facts: JobFacts
    record: Result | None


def list_dead(
    *, instance: str | None = None, tenant: str | None = None, limit: int = 50
) -> Steps[list[DeadJob]]:
    """Jobs that were given up, the latest first."""
    found: list[JobFacts] = []
    for first in range(0, dead.MOST_DEAD, AT_ONCE):
        ids: list[str] = yield dead.read_dead(first=first, count=AT_ONCE)
        if not ids:
            break
        facts: list[JobFacts] = yield listing.read_facts(ids)
        found += [
            one
            for one in facts
            if one.state is State.DEAD
            and instance in (None, one.instance)
            and tenant in (None, one.tenant)
        ]
        if len(found) >= limit:
            break
    jobs = []
    for one in found[:limit]:
        entry: JobEntry | None = yield status.read_job(one.job_id)
        jobs.append(DeadJob(one, entry.result if entry else None))
    return jobs


def show_dead(job_id: str) -> Steps[DeadJob]:
    """One of them.

    Raises:
        JobNotFound: there is no such job, or it is not dead.
    """
    entry: JobEntry | None = yield status.read_job(job_id)
    if entry is None:
        raise JobNotFound(job_id=job_id)
    if entry.facts.state is not State.DEAD:
        raise JobNotFound(
            f"Job {job_id} is {entry.facts.state}, not dead; see `apexq jobs show {job_id}`.",
            job_id=job_id,
        )
    return DeadJob(entry.facts, entry.result)


def replay_dead(operations: Operations, job_id: str) -> Steps[str]:
    """Enqueues what a dead job was asked as a new job, which holds tokens anew; returns its id.

    Raises:
        JobNotFound, CorruptEntry, and what a submit raises: nothing was enqueued.
    """
    yield from show_dead(job_id)
    body: str = yield dead.read_request(job_id)
    try:
        request = Request.model_validate_json(body)
    except ValidationError as error:
        raise CorruptEntry(job_id=job_id) from error
    order = Order(new_job_id(), request, body)
    yield from operations.submit(order)
    return order.job_id


def drop_dead(job_id: str) -> Steps[None]:
    """Removes a dead job: its request, text and record.

    Raises:
        JobNotFound
    """
    yield from show_dead(job_id)
    yield dead.drop_dead(job_id)
