"""Whatever lies in a worker's queue, it lives, sets junk aside, and serves the next job."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import cycle, repeat

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from producer import JobCancelled, JobFailed, LLMClient, Priority
from tests.conftest import StartWorkers
from tests.support.gates import closed_gate
from tests.support.hands import LISTS
from tests.support.junk import ALMOST, no_message, wakeup


def template_of(ledger: Ledger) -> str:
    return str(ledger.redis.hget(keys.entry("inst0"), "wakeup"))


def wake(ledger: Ledger, job_ids: Iterable[str], *, times: int = 1) -> None:
    """Pushes wake-ups by hand; each is a message of its own."""
    for job_id in job_ids:
        for number in range(times):
            message = wakeup(template_of(ledger), job_id, f"{job_id}.{number}")
            ledger.redis.lpush(LISTS[Priority.NORMAL.band], json.dumps(message))


def aside(ledger: Ledger) -> list[bytes]:
    """What was set aside, the oldest first."""
    raw = ledger.redis.connection_pool.get_connection()
    try:
        raw.send_command("LRANGE", keys.ASIDE, 0, -1)
        return list(reversed(raw.read_response(disable_decoding=True)))
    finally:
        ledger.redis.connection_pool.release(raw)


def test_junk_is_set_aside_and_the_next_job_is_served(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given
    (worker,) = start_workers("inst0")
    junk = no_message(wakeup(template_of(ledger), "unheard-of", "unheard-of.0"))
    for (name, raw), target in zip(junk.items(), cycle(LISTS)):
        # When
        ledger.redis.lpush(target, raw)
        # Then
        job = client.submit("hello", agent_id="a", priority="LOW")
        assert job.result(timeout=10).text.startswith("Hello"), name
    assert aside(ledger) == list(junk.values())
    assert worker.process.poll() is None
    assert "Traceback" not in worker.log
    assert len(worker.log) < 50_000

    # Given what came while no worker was there
    worker.stop()
    for raw, target in zip(junk.values(), repeat(LISTS[0])):
        ledger.redis.lpush(target, raw)
    job = client.submit("hello", agent_id="a")

    # When
    (worker,) = start_workers("inst0")

    # Then
    assert job.result(timeout=10).attempt == 1
    assert aside(ledger) == 2 * list(junk.values())
    assert worker.process.poll() is None


def test_what_passes_for_a_message_is_set_aside_too(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    (worker,) = start_workers("inst0")
    for name, make in ALMOST.items():
        raw = make(wakeup(template_of(ledger), "unheard-of", "unheard-of.0"))
        ledger.redis.lpush(LISTS[0], raw)

        job = client.submit("hello", agent_id="a")

        assert job.result(timeout=10).text.startswith("Hello"), name
        assert aside(ledger)[-1] == raw, name
        assert worker.process.poll() is None, name


def test_a_wake_up_that_no_longer_applies_does_nothing(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given jobs that ended in every way, and one that runs
    (worker,) = start_workers("inst0")
    done = client.submit("hello", agent_id="a")
    failed = client.submit("[[mock error_at=0]]", agent_id="a")
    assert (done.outcome().state, failed.outcome().state) == ("succeeded", "failed")
    running = closed_gate(client)
    cancelled = client.submit("hello", agent_id="a")
    cancelled.cancel()
    over = [done.id, failed.id, cancelled.id]

    # When
    wake(ledger, ["unheard-of", *over, running.id], times=2)
    running.cancel()

    # Then
    last = client.submit("hello", agent_id="b")
    assert last.result(timeout=10).state == "succeeded"
    assert ended_once(ledger, over) == {done.id: 1, failed.id: 1, cancelled.id: 0}
    assert ended_once(ledger, [running.id]) == {running.id: 1}
    assert done.result().text.startswith("Hello")
    with pytest.raises(JobFailed):
        failed.result()
    with pytest.raises(JobCancelled):
        cancelled.result()
    charged = [job.outcome().usage.total_tokens for job in (done, failed, running, cancelled, last)]
    assert client.get_stats()["tokens_used"] == sum(charged)

    # Given
    worker.stop()
    wake(ledger, ["unheard-of", *over, running.id])

    # When
    start_workers("inst0")

    # Then
    assert client.complete("hello", agent_id="b").state == "succeeded"
    assert ended_once(ledger, over) == {done.id: 1, failed.id: 1, cancelled.id: 0}
    assert ledger.redis.llen(keys.ASIDE) == 0


def ended_once(ledger: Ledger, job_ids: Iterable[str]) -> dict[str, int]:
    """How often each job was claimed; all of them must have ended, once."""
    claims = {}
    for job_id in job_ids:
        events = [fields["e"] for _, fields in ledger.redis.xrange(keys.stream(job_id))]
        assert [json.loads(event)["kind"] for event in events].count("end") == 1
        claims[job_id] = int(ledger.redis.hget(keys.job(job_id), "fence"))
    return claims
