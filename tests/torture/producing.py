"""A process that submits its share of the jobs and reads their answers.

It may be killed at any moment. Started again it goes on where its journal ends: with the same
idempotency keys, so that what was accepted without its knowing is found, not doubled.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from producer import ApexError, LLMClient, RedisUnavailable
from producer.operations import Order
from tests.torture.asked import Asked, asked, bulk
from tests.torture.journal import ACCEPTED, Journal, entries
from tests.torture.plan import Plan
from tests.torture.reader import Reader

READERS = 8
PAUSE_S = 0.2


def produce(plan: Plan, producer: int, begun_at: float) -> None:
    """Does a producer's work; returns when all is submitted and read. ``begun_at``: of the run."""
    with (
        LLMClient(plan.settings) as client,
        ThreadPoolExecutor(READERS, "reader") as readers,
    ):
        Producing(plan, producer, client, readers).run(begun_at)


class Producing:
    def __init__(
        self, plan: Plan, producer: int, client: LLMClient, readers: ThreadPoolExecutor
    ) -> None:
        self._plan, self._producer, self._client, self._readers = plan, producer, client, readers
        self._known = entries(plan.journal(producer))
        self._journal = Journal(plan.journal(producer))
        self._reads: list[Future[None]] = []
        self._pause = threading.Event()  # never set: for pauses

    def run(self, begun_at: float) -> None:
        for number, entry in self._known.items():
            if entry.accepted and entry.read is None:
                self._follow(entry.job_id, self._asked(number))
        count = self._plan.share(self._producer)
        number = max(self._known, default=-1) + 1
        while number < count:
            due_at = begun_at + self._plan.seconds * number / count
            self._pause.wait(max(0.0, due_at - time.time()))
            together = min(bulk(self._plan, self._producer, number), count - number)
            self._submit([self._asked(number + place) for place in range(together)])
            number += together
        for read in self._reads:
            read.result()

    def _asked(self, number: int) -> Asked:
        return asked(self._plan, self._producer, number)

    def _submit(self, some: list[Asked]) -> None:
        orders = [self._client.order(**one.options) for one in some]
        for one, order, answer in zip(some, orders, self._answers(some, orders), strict=True):
            self._journal.answered(one.number, order.job_id, answer)
            if answer == ACCEPTED:
                self._follow(order.job_id, one)

    def _answers(self, some: list[Asked], orders: list[Order]) -> list[str]:
        while True:
            try:
                if len(some) == 1:
                    self._client.send(orders[0])
                    return [ACCEPTED]
                jobs = self._client.submit_many([one.options for one in some])
                answers = [job.refused.code if job.refused else ACCEPTED for job in jobs]
                if RedisUnavailable.code not in answers:
                    return answers
            except RedisUnavailable:
                pass
            except ApexError as error:
                return [error.code] * len(some)
            self._pause.wait(PAUSE_S)

    def _follow(self, job_id: str, one: Asked) -> None:
        random = self._plan.random("reader", self._producer, one.number)

        def read() -> None:
            self._journal.read(one.number, Reader(self._client.job(job_id), one, random).read())

        self._reads.append(self._readers.submit(read))
