"""In which order waiting jobs are served, and how little of it Celery's lists hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import redis

from ledger import keys
from ledger.redis_client import Ledger
from producer import Job, LLMClient, Priority
from tests.support.gates import begun, closed_gate
from tests.support.in_line import hello, lengths

SLOTS = 1


class Ends:
    """The ends of all jobs, in their order."""

    def __init__(self, pubsub: redis.client.PubSub) -> None:
        self._pubsub = pubsub

    def next(self, timeout_s: float = 20) -> str:
        """The id of the next job that ends."""
        while (message := self._pubsub.get_message(timeout=timeout_s)) is not None:
            if message["type"] == "pmessage" and '"kind":"end"' in str(message["data"]):
                return str(message["channel"]).removeprefix(keys.stream(""))
        raise AssertionError(f"no job ended in {timeout_s} s")

    def of(self, jobs: Sequence[Job]) -> list[int]:
        """The numbers of ``jobs`` in the order in which they end; others may end between them."""
        numbers = {job.id: number for number, job in enumerate(jobs)}
        ended: list[int] = []
        while len(ended) < len(jobs):
            job_id = self.next()
            if job_id in numbers:
                ended.append(numbers[job_id])
        return ended


@contextmanager
def ends(ledger: Ledger) -> Iterator[Ends]:
    with ledger.redis.pubsub() as pubsub:
        pubsub.psubscribe(keys.stream("*"))
        assert pubsub.get_message(timeout=10)["type"] == "psubscribe"
        yield Ends(pubsub)


def test_ten_jobs_of_a_newcomer_are_among_the_next_twenty_though_a_thousand_wait(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    gate = closed_gate(client)
    crowd = client.submit_many([hello(f"a{n % 7}", tenant="crowd") for n in range(1000)])
    assert max(lengths(ledger)) <= SLOTS + 1
    newcomers = client.submit_many([hello("b", tenant="newcomer") for _ in range(10)])
    with ends(ledger) as ended:
        # When
        gate.cancel()
        assert ended.next() == gate.id
        next_twenty = []
        for _ in range(20):
            next_twenty.append(ended.next())
            # Then
            assert max(lengths(ledger)) <= SLOTS + 1
        assert {job.id for job in newcomers} <= set(next_twenty)
        # And the crowd is not starved by them
        assert len({job.id for job in crowd} & set(next_twenty)) == 10


def test_a_newcomer_is_served_soon_while_a_worker_works_through_a_thousand(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given a worker in the midst of its work
    with ends(ledger) as ended:
        client.submit_many([hello("a", tenant="crowd") for _ in range(1000)])
        for _ in range(50):
            ended.next()
    # When
    newcomers = client.submit_many([hello("b", tenant="newcomer") for _ in range(10)])
    with ends(ledger) as ended:
        assert ended.of(newcomers) == list(range(10))

    # Then
    times = [ledger.redis.hmget(keys.job(job.id), "submitted", "ended") for job in newcomers]
    came, served = min(int(at) for at, _ in times), max(int(at) for _, at in times)
    between = 0
    for name in ledger.redis.scan_iter(keys.job("*"), count=1000):
        at = ledger.redis.hget(name, "ended")
        between += at is not None and came < int(at) <= served
    assert between <= 22  # twenty, the one that ran, and one of the same millisecond


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "one by one"])
def test_an_agents_jobs_of_one_priority_are_served_in_their_order(
    client: LLMClient, ledger: Ledger, bulk: bool
) -> None:
    # Given four agents of two tenants, in two priorities, long and short requests mixed
    gate = closed_gate(client)
    requests = [
        hello(
            f"agent{n % 4}",
            tenant=f"t{n % 4 // 2}",
            priority=("NORMAL", "LOW")[n // 4 % 2],
            prompt="hello " * (1 + n % 5 * 20),
        )
        for n in range(96)
    ]
    jobs = (
        client.submit_many(requests) if bulk else [client.submit(**request) for request in requests]
    )
    with ends(ledger) as ended:
        # When
        gate.cancel()
        order = ended.of(jobs)
    # Then
    groups: dict[tuple[object, object], list[int]] = {}
    for number in order:
        request = requests[number]
        groups.setdefault((request["agent_id"], request["priority"]), []).append(number)
    assert len(groups) == 8
    for served in groups.values():
        assert served == sorted(served)


def test_waiting_jobs_are_served_by_their_priority(client: LLMClient, ledger: Ledger) -> None:
    gate = closed_gate(client)
    names = ["LOW", "HIGH", "NORMAL", "URGENT"] * 5
    jobs = [client.submit(**hello(f"a{n}", priority=name)) for n, name in enumerate(names)]
    with ends(ledger) as ended:
        gate.cancel()
        order = [Priority[names[number]] for number in ended.of(jobs)]

    assert order == sorted(order)


def test_celerys_lists_stay_short_with_a_thousand_waiting_in_each_priority(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    gate = closed_gate(client)
    for priority in Priority:
        client.submit_many([hello("a", priority=priority.name)] * 1000)
        assert max(lengths(ledger)) == SLOTS + 1
    assert lengths(ledger) == [SLOTS + 1] * 4
    assert ledger.redis.zcard(keys.waiting("inst0")) == 4 * (1000 - SLOTS - 1)
    with ends(ledger) as ended:
        # When
        gate.cancel()
        for _ in range(200):
            ended.next()
            # Then
            assert max(lengths(ledger)) <= SLOTS + 1


def test_a_job_that_makes_way_goes_on_before_its_agents_next_one(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    first = client.submit(
        "[[mock tokens=100 tps=200]]", agent_id="a", max_tokens=100, priority="LOW"
    )
    begun(first)
    jobs = [first, *client.submit_many([hello("a", priority="LOW")] * 4)]
    with ends(ledger) as ended:
        # When
        urgent = client.submit(**hello("b", priority="URGENT"))
        # Then
        assert ended.next() == urgent.id
        assert ended.of(jobs) == [0, 1, 2, 3, 4]
