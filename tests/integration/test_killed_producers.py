"""A producer that is killed in the midst of a bulk submit, and what the next one finds."""

from __future__ import annotations

import multiprocessing
from typing import Any

from budgets import hold_for
from ledger import keys
from ledger.messages import State, parse_request
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import closed_gate

MANY = 3000
SOME = 300  # accepted when the producer is killed
REQUESTS: list[dict[str, Any]] = [
    {"prompt": "hello", "agent_id": f"a{n % 7}", "max_tokens": 20, "idempotency_key": f"night/{n}"}
    for n in range(MANY)
]
HOLD = hold_for(parse_request(prompt="hello", agent_id="a0", max_tokens=20))


def submit_all(settings: Settings) -> None:
    with LLMClient(settings) as client:
        client.submit_many(REQUESTS)


def jobs_of(ledger: Ledger) -> set[str]:
    return {name.removeprefix(keys.job("")) for name in ledger.redis.scan_iter(keys.job("*"))}


def kill_in_a_bulk_submit(settings: Settings, ledger: Ledger) -> None:
    producer = multiprocessing.get_context("spawn").Process(target=submit_all, args=(settings,))
    producer.start()
    while ledger.redis.zcard(keys.waiting("inst0")) < SOME and producer.is_alive():
        pass
    producer.kill()
    producer.join(10)


def test_what_a_killed_producer_enqueued_is_whole_and_the_next_one_enqueues_the_rest(
    settings: Settings, client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given a worker that is busy
    start_workers("inst0")
    gate = closed_gate(client, tenant="gate")
    # When a producer is killed
    kill_in_a_bulk_submit(settings, ledger)
    # Then what it enqueued is held for, and nothing else
    before = jobs_of(ledger) - {gate.id}
    assert SOME <= len(before) < MANY
    assert client.get_stats()["tokens_held"] == len(before) * HOLD
    # When it is started again
    jobs = client.submit_many(REQUESTS)
    # Then each request is one job, those of the first producer among them
    assert len({job.id for job in jobs}) == MANY
    assert before < {job.id for job in jobs} == jobs_of(ledger) - {gate.id}
    assert client.get_stats()["tokens_held"] == MANY * HOLD
    # And each is answered once
    gate.cancel()
    records = [job.outcome(timeout=60) for job in jobs]
    assert {record.state for record in records} == {State.SUCCEEDED}
    used = sum(record.usage.total_tokens for record in records)
    stats = client.get_stats()
    assert (stats["tokens_used"], stats["tokens_held"]) == (used, 0)
