"""Which jobs something can happen to."""

from __future__ import annotations

from ledger.jobs import Claim
from ledger.messages import State
from tests.support.ledger_model.books import Books
from tests.support.ledger_model.job import Job


def every(books: Books) -> list[Job]:
    return list(books.jobs.values())


def running(books: Books) -> list[Job]:
    return [job for job in books.jobs.values() if job.state is State.RUNNING]


def unfinished(books: Books) -> list[Job]:
    return [job for job in books.jobs.values() if not job.state.terminal]


def claimed(books: Books) -> list[Job]:
    return [job for job in books.jobs.values() if job.claims]


def delayed(books: Books) -> list[Job]:
    return [job for job in books.jobs.values() if job.delayed]


def stale(books: Books) -> list[tuple[Job, Claim]]:
    """Claims under which nothing may be written any more."""
    return [
        (job, claim)
        for job in books.jobs.values()
        for claim in job.claims
        if claim.fence != job.fence or job.state is not State.RUNNING
    ]
