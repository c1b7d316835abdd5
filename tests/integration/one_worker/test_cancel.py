"""A cancelled job: soon gone while it runs, whoever cancels it and how."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from celery import Celery

from ledger import keys
from ledger.errors import JobCancelled
from ledger.messages import State
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from tests.support.commands import celery
from tests.support.gates import begun, closed_gate, pid_of
from tests.support.waiting import eventually

log = logging.getLogger(__name__)
LONG = "[[mock tokens=5000 tps=100]]"
READS_LONG = "[[mock tokens=5 first_ms=60000]]"  # and listens meanwhile
HANGS = "[[mock tokens=5 hang_at=0]]"


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    """Another Celery app on the same broker, such as Flower's."""
    with Celery(broker=redis_url) as app:
        yield app


def ended(job: Job, timeout_s: float = 10) -> State:
    return job.outcome(timeout=timeout_s).state


def running(job: Job) -> bool:
    return job.status().state == "running"


def test_a_running_job_ends_with_its_next_token_and_is_charged_for_what_it_made(
    client: LLMClient,
) -> None:
    job = client.submit(LONG, agent_id="a", max_tokens=5000)
    begun(job)

    began = time.monotonic()
    job.cancel()
    record = job.outcome(timeout=10)
    took_ms = (time.monotonic() - began) * 1000

    log.info("cancelled %.0f ms after the word, at 10 ms a token", took_ms)
    assert record.state is State.CANCELLED
    assert record.usage.completion_tokens == len(record.text.split())
    stats = client.get_stats()
    assert (stats["tokens_used"], stats["tokens_held"]) == (record.usage.total_tokens, 0)


def test_a_job_that_still_reads_its_prompt_ends_and_its_process_stays(
    client: LLMClient, ledger: Ledger
) -> None:
    job = client.submit(READS_LONG, agent_id="a")
    eventually(lambda: running(job))
    pid = pid_of(ledger, job)

    began = time.monotonic()
    job.cancel()
    assert ended(job) is State.CANCELLED
    log.info("cancelled %.0f ms after the word", (time.monotonic() - began) * 1000)

    after = client.submit("hello", agent_id="b")
    assert ended(after) is State.SUCCEEDED
    assert pid_of(ledger, after) == pid


def test_a_job_whose_backend_hangs_ends_with_its_process(client: LLMClient, ledger: Ledger) -> None:
    job = client.submit(HANGS, agent_id="a")
    eventually(lambda: running(job))
    pid = pid_of(ledger, job)

    job.cancel()

    assert ended(job) is State.CANCELLED
    after = client.submit("hello", agent_id="b")
    assert ended(after) is State.SUCCEEDED
    assert pid_of(ledger, after) != pid


@pytest.mark.parametrize("terminate", [False, True], ids=["revoke", "terminate"])
def test_celerys_revoke_cancels_a_running_and_a_waiting_job_in_the_ledger(
    client: LLMClient, app: Celery, terminate: bool
) -> None:
    # Given
    at_work = closed_gate(client)
    waiting = client.submit("hello", agent_id="a")
    # When, as Flower does it
    (answer,) = app.control.revoke(
        [at_work.id, waiting.id], terminate=terminate, reply=True, timeout=5, limit=1
    )
    # Then
    assert list(answer.values()) == [
        {"ok": f"{at_work.id}: stopping, {waiting.id}: cancelled"},
    ]
    for job in (at_work, waiting):
        with pytest.raises(JobCancelled):
            job.result(timeout=10)
    assert client.complete("hello", agent_id="a").attempt == 1  # and its process lives
    assert client.get_stats()["tokens_held"] == 0


def test_the_shells_revoke_cancels_too_and_says_what_it_does_not_know(
    redis_url: str, client: LLMClient
) -> None:
    job = closed_gate(client)

    unknown = celery(redis_url, "control", "revoke", "unheard-of")
    known = celery(redis_url, "control", "terminate", "KILL", job.id)

    assert "Job unheard-of is not in the ledger" in unknown.stdout + unknown.stderr
    assert f"{job.id}: stopping" in known.stdout
    assert ended(job) is State.CANCELLED


def test_an_id_that_was_revoked_is_not_refused_later(client: LLMClient, app: Celery) -> None:
    # Given a job that has ended, whose id somebody revokes
    first = client.submit("hello", agent_id="a", idempotency_key="nightly")
    first.result(timeout=10)
    app.control.revoke(first.id, reply=True, timeout=5, limit=1)
    # When it runs once more under the same id, its record being gone
    ledger = Ledger(client.settings.redis_url)
    for name in (keys.job, keys.request, keys.result, keys.stream):
        ledger.redis.delete(name(first.id))
    again = client.submit("hello", agent_id="a", idempotency_key="nightly")
    # Then
    assert again.id == first.id
    assert again.result(timeout=10).text.startswith("Hello")
    ledger.close()
