"""What producers do: they submit, cancel and ask again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st

from budgets import levels_of
from ledger import jobs, keys
from ledger.errors import ApexError, IdempotencyConflict, JobNotFound, NoInstance
from ledger.jobs import Submission
from ledger.messages import Request
from tests.support.ledger_model.among import every, unfinished
from tests.support.ledger_model.answers import sums_of
from tests.support.ledger_model.books import Books
from tests.support.ledger_model.job import Job
from tests.support.ledger_model.orders import (
    ATTEMPTS,
    BUDGETS,
    NAMES,
    ORDERS,
    ROOMS,
    Order,
    Payer,
    other_than,
)
from tests.support.ledger_model.step import step


@step(
    3,
    name=NAMES,
    orders=st.lists(ORDERS, min_size=1, max_size=5),
    attempts=ATTEMPTS,
    room=ROOMS,
)
def submit_many(
    books: Books, _: None, name: str, orders: list[Order], attempts: int, room: int
) -> None:
    waiting = books.redis.zcard(keys.waiting(name))
    sent: list[Submission] = []
    expected: list[str | ApexError] = []
    for payer, priority, hold, timeout_s, twice in orders:
        job = ordered(books, name, payer, priority, hold, timeout_s, attempts)
        for _ in range(1 + twice):
            sent.append(Submission(job.id, job.request, job.request.to_json(), hold, job.levels))
            expected.append(books.accepted(job, waiting, room))
            waiting += expected[-1] == name and job.id not in books.jobs
            if expected[-1] == name:
                books.jobs[job.id] = job

    answers = books.ledger.run(
        jobs.submit_many(sent, instance=name, max_attempts=attempts, max_waiting=room)
    )

    assert [sums_of(answer) for answer in answers] == [sums_of(answer) for answer in expected]


@step(2, among=unfinished)
def cancel(books: Books, job: Job) -> None:
    books.cancel(job)


@step(1, among=every, name=NAMES)
def ask_again_and_in_the_wrong_place(books: Books, job: Job, name: str) -> None:
    assert books.calls.submit(job, name, hold=1000, room=0) == job.instance
    other = job.request.model_copy(update={"prompt": "another"})
    with pytest.raises(IdempotencyConflict):
        books.calls.submit(replace(job, request=other), name, hold=1, room=1000)
    assert books.calls.cancel(job, other_than(job.instance)) == "moved"
    if job.state.terminal:
        assert books.calls.cancel(job, job.instance) == job.state
    books.claim(job.id, other_than(job.instance))
    nothing = replace(job, id="unheard-of")
    with pytest.raises(JobNotFound):
        books.calls.cancel(nothing, name)
    with pytest.raises(NoInstance):
        books.calls.submit(nothing, "nobody", hold=1, room=1000)
    books.claim("unheard-of", name)


def ordered(
    books: Books,
    name: str,
    payer: Payer,
    priority: str,
    hold: int,
    timeout_s: float,
    attempts: int,
) -> Job:
    """A new job of this order; it is not accepted yet."""
    number = next(books.numbers)
    tenant, agent, session, episode = payer
    request = Request(
        prompt=f"prompt {number}",
        tenant=tenant,
        agent_id=agent,
        session_id=session,
        episode_id=episode,
        priority=priority,
        timeout_s=timeout_s,
        instance=name,  # where a job goes when instances come and go is told elsewhere
    )
    levels = levels_of(request, BUDGETS)
    books.account_for(levels)
    return Job(f"job-{number}", request, name, levels, hold, attempts)
