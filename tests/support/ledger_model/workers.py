"""What workers do: they generate, hold more, give back and end, and go on when they may not."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from ledger.errors import BudgetExceeded
from ledger.jobs import Claim
from ledger.messages import State
from tests.support.ledger_model.among import running, stale
from tests.support.ledger_model.answers import sums_of
from tests.support.ledger_model.books import Books, Chunk
from tests.support.ledger_model.invariants import all_is_right
from tests.support.ledger_model.job import Job
from tests.support.ledger_model.orders import NAMES
from tests.support.ledger_model.step import step

CHUNKS: st.SearchStrategy[Chunk] = st.tuples(
    st.integers(0, 8), st.integers(0, 8), st.integers(0, 3)
)


@step(
    5,
    name=NAMES,
    chunks=st.lists(CHUNKS, max_size=3),
    then=st.sampled_from(["", "", "yields", "is lost", "ends"]),
)
def a_worker_works(books: Books, _: None, name: str, chunks: list[Chunk], then: str) -> None:
    taken = books.take(name)
    if taken is None:
        return
    books.claim(taken.job_id, name)
    job = books.jobs[taken.job_id]
    if job.state is not State.RUNNING:
        return
    for chunk in chunks:
        all_is_right(books)
        books.emit(job, job.claim, job.chunk + 1, chunk)
    if then == "ends":
        books.finish(job, State.SUCCEEDED, job.prompt)
    elif then:
        all_is_right(books)
        books.give_back(job, failed=then == "is lost")


@step(4, among=running, chunk=CHUNKS)
def emit(books: Books, job: Job, chunk: Chunk) -> None:
    books.emit(job, job.claim, job.chunk + 1, chunk)


@step(1, among=running, below=st.integers(0, 3), tokens=st.integers(0, 100))
def emit_again(books: Books, job: Job, below: int, tokens: int) -> None:
    if job.chunk:
        books.emit(job, job.claim, job.chunk, (tokens, 1, below))


@step(2, among=running, least=st.integers(1, 40), more=st.integers(0, 60))
def hold(books: Books, job: Job, least: int, more: int) -> None:
    least += job.made + job.prompt
    accounts = books.accounts_of(job)
    for account in accounts:
        account.hold(-job.held)
    refusal = next(filter(None, (account.refusal(least) for account in accounts)), None)
    grant = job.held if refusal else min(least + more, *(one.room for one in accounts))
    for _ in range(2):  # the reply may be lost
        if refusal is None:
            assert books.calls.hold(job, job.claim, least + more, least) == grant
            continue
        with pytest.raises(BudgetExceeded) as exceeded:
            books.calls.hold(job, job.claim, least + more, least)
        assert sums_of(exceeded.value) == sums_of(refusal)
    for account in accounts:
        account.hold(grant)
    job.held = grant


@step(2, among=running, failed=st.booleans())
def give_back(books: Books, job: Job, failed: bool) -> None:
    books.give_back(job, failed)


@step(
    2,
    among=running,
    state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED]),
    prompt=st.integers(0, 8),
)
def finish(books: Books, job: Job, state: State, prompt: int) -> None:
    books.finish(job, state, min(prompt, job.held - job.made))


@step(3, among=stale, chunk=st.integers(1, 9), failed=st.booleans())
def a_worker_goes_on_that_lost_its_job(
    books: Books, lost: tuple[Job, Claim], chunk: int, failed: bool
) -> None:
    job, claim = lost
    slots = books.places[job.instance].slots
    assert books.calls.emit(job, claim, chunk, 1, 1, 0, slots) == "fenced"
    assert books.calls.hold(job, claim, 1000, 1) is None
    again = job.state is State.QUEUED and claim.fence == job.fence
    assert books.calls.requeue(job, claim, failed) == ("queued" if again else "fenced")
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DEAD):
        again = state is job.state and claim.fence == job.fence
        assert books.calls.finish(job, claim, state, 5) is again
