"""A worker that is told to end while it works: nothing is lost."""

from __future__ import annotations

import json
import signal
import time

import pytest

from ledger import keys
from ledger.jobs import wake
from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.stream import replay
from producer import Job, LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import begun
from tests.support.hands import LISTS
from tests.support.numbered import numbers
from tests.support.registering import register
from tests.support.waiting import eventually
from tests.support.workers import Worker

SHORT_GRACE = {"APEX_GRACE_S": "0.3"}
LONG_GRACE = {"APEX_GRACE_S": "30", "APEX_LEASE_S": "2"}  # it outlasts the lease by far
LONG = "[[mock tokens=300 tps=60]]"  # five seconds


def running(client: LLMClient, prompt: str, **options: int) -> Job:
    """A job that has made a token."""
    return begun(client.submit(prompt, agent_id="a", max_tokens=400, **options))


def end(worker: Worker, timeout_s: float = 15) -> float:
    """Tells the worker to end, as a supervisor does; returns how many seconds that took."""
    began = time.monotonic()
    worker.process.terminate()
    worker.process.wait(timeout_s)
    return time.monotonic() - began


def reasons(ledger: Ledger, job: Job) -> list[tuple[str, bool]]:
    return [(e.reason, e.failed) for e in replay(ledger, job.id) if e.kind == "requeued"]


def test_a_worker_that_is_told_to_end_lets_its_job_end_within_the_grace_period(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    (worker,) = start_workers("inst0", env=LONG_GRACE)
    job = running(client, "[[mock tokens=300 tps=75]]")

    assert end(worker) < 10

    record = job.outcome(timeout=1)
    assert (record.state, record.attempt, len(record.text.split())) == ("succeeded", 1, 300)
    assert reasons(ledger, job) == []


def test_a_worker_that_is_told_to_end_gives_back_what_takes_longer_and_it_goes_on_from_its_text(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given
    (worker,) = start_workers("inst0", env=SHORT_GRACE)
    job = running(client, LONG)
    # When
    assert end(worker) < 6
    # Then it waits, and no attempt is spent
    assert job.status().state == "queued"
    assert reasons(ledger, job) == [("leave", False)]
    made = [e for e in replay(ledger, job.id) if e.kind == "chunk"]
    assert len(made) > 5
    # And a new worker goes on with it
    start_workers("inst0")
    record = job.outcome(timeout=20)
    assert numbers(record.text) == list(range(300))
    assert (record.state, record.attempt) == (State.SUCCEEDED, 1)
    assert client.get_stats()["tokens_held"] == 0


@pytest.mark.parametrize(
    "prompt", ["[[mock first_ms=60000]]", "[[mock tokens=3 hang_at=0]]"], ids=["reads", "hangs"]
)
def test_a_job_without_a_token_is_given_back_too(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers, prompt: str
) -> None:
    (worker,) = start_workers("inst0", env=SHORT_GRACE)
    job = client.submit(prompt, agent_id="a")
    eventually(lambda: job.status().state == "running")

    assert end(worker) < 10

    assert job.status().state == "queued"
    assert reasons(ledger, job) == [("leave", False)]


def test_a_worker_that_is_told_to_end_at_once_gives_its_job_back(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    (worker,) = start_workers("inst0", env=LONG_GRACE)
    job = running(client, LONG)

    worker.process.send_signal(signal.SIGQUIT)
    worker.process.wait(10)

    assert job.status().state == "queued"
    assert reasons(ledger, job) == [("leave", False)]


@pytest.mark.parametrize(
    "prompt", ["[[mock first_ms=60000]]", "[[mock tokens=3 hang_at=0]]"], ids=["reads", "hangs"]
)
def test_a_job_that_is_cancelled_while_its_worker_ends_is_cancelled(
    client: LLMClient, start_workers: StartWorkers, prompt: str
) -> None:
    (worker,) = start_workers("inst0", env={"APEX_GRACE_S": "3", "APEX_LEASE_S": "60"})
    job = client.submit(prompt, agent_id="a")
    eventually(lambda: job.status().state == "running")
    worker.process.terminate()
    eventually(lambda: "Warm shutdown" in worker.log)

    job.cancel()

    assert job.outcome(timeout=10).state is State.CANCELLED
    worker.process.wait(10)


def test_a_job_of_a_newer_release_waits_for_a_newer_worker_and_keeps_nobody_waiting(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given a request with an option that this release does not know
    register(ledger)
    newer = client.submit("hello", agent_id="a")
    name = keys.request(newer.id)
    today = json.loads(ledger.redis.get(name))
    ledger.redis.set(name, json.dumps({**today, "schema_version": 2, "mood": "cheerful"}))
    ledger.redis.delete(keys.entry("inst0"), *LISTS)
    # When a worker of this release comes upon it
    (worker,) = start_workers("inst0")
    assert ledger.run(wake(newer.id, instance="inst0"))
    after = client.complete("hello", agent_id="b")
    # Then
    assert after.text.startswith("Hello")
    eventually(lambda: ("newer", False) in reasons(ledger, newer))
    assert newer.status().state == "queued"
    assert f"{newer.id} was written by a newer version of apexq (schema 2" in worker.log
    # And once it can be read, which is what an upgrade changes, it runs
    ledger.redis.set(name, json.dumps(today))
    assert newer.outcome(timeout=20).text.startswith("Hello")
