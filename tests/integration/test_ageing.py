"""Jobs that have waited for long have their turn before better ones."""

from __future__ import annotations

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.hands import Hands
from tests.support.in_line import hello, lengths, run_dry
from tests.support.registering import register

SLOTS = 1
AGEING_MS = 60_000


def aged(client: LLMClient, ledger: Ledger, priority: str, count: int, ages: float) -> list[str]:
    """Ids of waiting jobs that were submitted ``ages`` times the time of ageing ago."""
    jobs = client.submit_many([hello("old", priority=priority)] * count)
    for job in jobs:
        ledger.redis.hincrby(keys.job(job.id), "submitted", -int(ages * AGEING_MS))
    return [job.id for job in jobs]


def test_jobs_that_have_waited_for_long_take_turns_with_those_of_the_next_better_band(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    register(ledger)
    hands = Hands(ledger, ageing_ms=AGEING_MS)
    old = aged(client, ledger, "LOW", 6, ages=1.1)
    young = client.submit_many([hello("a", priority="NORMAL")] * 30)
    # When
    served = hands.serve(16)
    # Then about every other one, in their order, and the others are not kept waiting either
    lifted = [job_id for job_id in served if job_id in old]
    assert len(lifted) >= 5
    assert lifted == old[: len(lifted)]
    assert [job_id for job_id in served if job_id not in old] == [
        job.id for job in young[: 16 - len(lifted)]
    ]
    assert max(lengths(ledger)) <= SLOTS + 2


def test_jobs_that_have_not_waited_for_long_wait_for_the_better_ones(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    hands = Hands(ledger, ageing_ms=AGEING_MS)
    old = aged(client, ledger, "LOW", 6, ages=0.9)
    client.submit_many([hello("a", priority="NORMAL")] * 30)

    assert not set(hands.serve(30)) & set(old)
    assert hands.serve(6) == old


@pytest.mark.parametrize(("ages", "passes"), [(1.5, False), (2.1, True)])
def test_a_low_job_needs_twice_the_time_to_pass_high_ones(
    client: LLMClient, ledger: Ledger, ages: float, passes: bool
) -> None:
    register(ledger)
    hands = Hands(ledger, ageing_ms=AGEING_MS)
    old = aged(client, ledger, "LOW", 3, ages)
    client.submit_many([hello("a", priority="NORMAL")] * 30)
    client.submit_many([hello("b", priority="HIGH")] * 30)

    assert bool(set(hands.serve(20)) & set(old)) is passes


def test_no_age_passes_urgent_jobs(client: LLMClient, ledger: Ledger) -> None:
    register(ledger)
    hands = Hands(ledger, ageing_ms=AGEING_MS)
    old = aged(client, ledger, "LOW", 3, ages=1000) + aged(client, ledger, "HIGH", 3, ages=1000)
    client.submit_many([hello("a", priority="URGENT")] * 20)

    assert not set(hands.serve(20)) & set(old)


def test_where_nothing_better_waits_no_job_counts_as_better(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given a night of LOW jobs that all have waited for long
    register(ledger)
    hands = Hands(ledger, ageing_ms=AGEING_MS)
    old = aged(client, ledger, "LOW", 20, ages=5)

    assert hands.serve(10) == old[:10]
    claim = hands.take()
    assert claim.lifted == 0  # so it makes way for whoever comes
    hands.finish(claim)


def test_a_lifted_job_that_makes_way_goes_on_before_its_agents_next_one(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    hands = Hands(ledger, ageing_ms=AGEING_MS)
    old = aged(client, ledger, "LOW", 4, ages=1.5)
    client.submit_many([hello("a", priority="NORMAL")] * 30)
    while (claim := hands.take()).job_id != old[0]:
        hands.finish(claim)
    assert claim.lifted == 1

    hands.give_back(claim)

    assert [job_id for job_id in hands.serve(14) if job_id in old] == old


def test_a_low_job_gets_its_turn_although_normal_ones_never_end(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given a worker that always has a NORMAL job to do next
    start_workers("inst0", env={"APEX_AGEING_S": "1"})
    normal = [hello("a", prompt="[[mock tokens=20 tps=100]]", priority="NORMAL")]
    client.submit_many(normal * 100)
    # When
    low = client.submit(**hello("b", priority="LOW"))
    # Then
    assert low.result(timeout=15).text.startswith("Hello")
    assert ledger.redis.zcard(keys.waiting("inst0")) > 10
    run_dry(ledger)
