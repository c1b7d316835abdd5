"""What happens to wake-ups: they are taken, claimed, lost, delivered twice and pushed again."""

from __future__ import annotations

from ledger import jobs, keys
from ledger.recovery import mend
from tests.support.ledger_model.among import claimed, delayed, every
from tests.support.ledger_model.books import Books
from tests.support.ledger_model.job import Job
from tests.support.ledger_model.orders import NAMES
from tests.support.ledger_model.step import step
from tests.support.ledger_model.wake_up import WakeUp


@step(2, name=NAMES)
def a_worker_takes_a_wake_up(books: Books, _: None, name: str) -> None:
    taken = books.take(name)
    if taken is not None:
        books.hand.append(taken)


@step(3, among=lambda books: books.hand)
def claim_what_was_taken(books: Books, taken: WakeUp) -> None:
    books.hand.remove(taken)
    books.claim(taken.job_id, taken.instance)


@step(1, among=lambda books: books.hand)
def a_wake_up_is_lost(books: Books, taken: WakeUp) -> None:
    books.hand.remove(taken)
    books.dropped.add(taken.job_id)


@step(1, among=lambda books: books.hand)
def a_wake_up_is_delivered_twice(books: Books, taken: WakeUp) -> None:
    again = taken.raw.replace('"tag": "', '"tag": "again.')
    books.redis.lpush(books.places[taken.instance].lists[taken.band], again)


@step(1, among=every)
def claim_without_a_wake_up(books: Books, job: Job) -> None:
    books.claim(job.id, job.instance)


@step(1, among=claimed)
def a_claim_is_sent_again(books: Books, job: Job) -> None:
    books.claim(job.id, job.instance, nonce=job.nonce)


@step(2, name=NAMES)
def lost_wake_ups_are_pushed_again(books: Books, _: None, name: str) -> None:
    woken = books.redis.zrange(keys.woken(name), 0, -1)
    listed = books.listed(name)

    assert books.ledger.run(mend(name, patience_ms=0)) == []

    for job_id in woken:
        books.jobs[job_id].again |= job_id not in listed
    assert set(woken) <= books.listed(name)
    books.pushed(name)


@step(1, among=delayed)
def a_job_has_waited_long_enough(books: Books, job: Job) -> None:
    assert books.ledger.run(jobs.wake(job.id, instance=job.instance))
    job.delayed = False
