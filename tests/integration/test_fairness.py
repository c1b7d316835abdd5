"""What each tenant gets of an instance."""

from __future__ import annotations

from ledger import keys
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.support.hands import Hands
from tests.support.in_line import hello
from tests.support.registering import register


def test_a_tenant_that_comes_late_is_not_ahead_by_more_than_a_few_jobs(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given a crowd of which much was served
    register(ledger)
    hands = Hands(ledger)
    client.submit_many([hello("a", tenant="crowd") for _ in range(100)])
    hands.serve(40)
    # When
    newcomers = {
        job.id for job in client.submit_many([hello("b", tenant="newcomer") for _ in range(40)])
    }
    # Then two wake-ups were in the list, four jobs may be ahead, and then both take turns
    next_thirty = [job_id in newcomers for job_id in hands.serve(30)]
    assert sum(next_thirty[:10]) >= 5
    assert 14 <= sum(next_thirty) <= 17


def test_a_tenant_that_comes_after_a_yield_is_not_ahead_by_more_than_a_few_jobs(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given
    register(ledger)
    hands = Hands(ledger)
    client.submit_many([hello("a", tenant="crowd") for _ in range(100)])
    hands.serve(40)
    hands.give_back(hands.take())
    hands.serve(1)
    # When
    newcomers = {
        job.id for job in client.submit_many([hello("b", tenant="newcomer") for _ in range(40)])
    }
    # Then
    assert 13 <= sum(job_id in newcomers for job_id in hands.serve(30)) <= 17


def test_three_tenants_share_alike_whatever_their_requests_cost(
    client: LLMClient, ledger: Ledger
) -> None:
    # Given requests of three sizes
    register(ledger)
    hands = Hands(ledger)
    sizes = {"small": 500, "middle": 1000, "large": 2000}
    for tenant, tokens in sizes.items():
        client.submit_many(
            [{**hello("a", tenant=tenant), "max_tokens": tokens} for _ in range(200)]
        )
    # When
    shares = dict.fromkeys(sizes, 0)
    for _ in range(140):
        claim = hands.take()
        tenant = ledger.redis.hget(keys.job(claim.job_id), "tenant")
        shares[str(tenant)] += claim.held
        hands.finish(claim)
    # Then each was given a third of the tokens, give or take a few of the largest requests
    assert max(shares.values()) - min(shares.values()) <= 4 * 2100
