"""A running job makes way for a better one, and ends as if it had not."""

from __future__ import annotations

import logging
import time

from ledger.redis_client import Ledger
from ledger.stream import replay
from producer import Job, LLMClient
from tests.conftest import StartWorkers
from tests.support import attempts
from tests.support.gates import begun
from tests.support.numbered import numbers
from tests.support.registering import register
from tests.support.waiting import eventually

log = logging.getLogger(__name__)

TRIES = 50


def running(client: LLMClient, prompt: str, **options: int | str) -> Job:
    """A LOW job that has made a token."""
    return begun(client.submit(prompt, **{"agent_id": "a", "priority": "LOW", **options}))


def urgent(client: LLMClient) -> float:
    """Milliseconds until the first token of an URGENT job; returns when it has ended."""
    start = time.perf_counter()
    events = client.submit("hello", agent_id="b", priority="URGENT", max_tokens=16).stream(
        timeout_s=30
    )
    next(events)
    took_ms = (time.perf_counter() - start) * 1000
    for _ in events:
        pass
    return took_ms


def yields(ledger: Ledger, job: Job) -> int:
    return sum(event.reason == "yield" for event in replay(ledger, job.id))


def test_urgent_jobs_do_not_wait_for_a_low_one_of_ten_minutes_whose_text_goes_on(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    low = running(client, "[[mock tokens=60000 tps=100]]", max_tokens=60_000, timeout_s=900)

    times = sorted(urgent(client) for _ in range(TRIES))

    log.info(
        "first token of URGENT behind a LOW job: p50 %.0f ms, p99 %.0f ms, max %.0f ms",
        times[TRIES // 2],
        times[int(TRIES * 0.99) - 1],
        times[-1],
    )
    assert 1 <= yields(ledger, low) <= TRIES
    assert low.status().state in ("queued", "running")
    low.cancel()
    text = low.outcome(timeout=10).text
    assert numbers(text) == list(range(len(text.split())))


def test_a_job_that_made_way_ends_with_the_text_and_the_bill_of_one_that_did_not(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    story = "[[mock tokens=300 tps=150]] tell a story of many words"
    undisturbed = client.complete(story, agent_id="a", priority="LOW", max_tokens=300)

    low = running(client, story, max_tokens=300)
    for _ in range(3):
        eventually(lambda: low.status().state == "running")
        urgent(client)
    result = low.result(timeout=20)

    assert yields(ledger, low) == 3
    assert result.text == undisturbed.text
    assert result.usage == undisturbed.usage
    assert result.attempt == 1


def test_a_job_makes_way_no_oftener_than_it_may(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env={"APEX_MAX_YIELDS": "2"})
    low = running(client, "[[mock tokens=200 tps=100]]", max_tokens=200)

    for _ in range(3):
        eventually(lambda: low.status().state == "running")
        urgent(client)

    assert low.status().state == "succeeded"  # the third one waited for it
    assert yields(ledger, low) == 2


def test_a_job_makes_way_no_more_when_it_is_nearly_done(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env={"APEX_YIELD_NOT_LAST_TOKENS": "99"})
    low = running(client, "[[mock tokens=100 tps=100]]", max_tokens=100)

    urgent(client)

    assert low.status().state == "succeeded"
    assert yields(ledger, low) == 0


def test_no_job_makes_way_where_preemption_is_off(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env={"APEX_PREEMPTION": "0"})
    low = running(client, "[[mock tokens=100 tps=100]]", max_tokens=5000)

    urgent(client)

    assert low.status().state == "succeeded"
    assert yields(ledger, low) == 0


def test_one_better_job_asks_one_of_many_to_make_way(client: LLMClient, ledger: Ledger) -> None:
    # Given
    register(ledger, slots=4)
    low = [client.submit("hello", agent_id="a", priority="LOW") for _ in range(4)]
    claims = [attempts.claimed(ledger, job.id) for job in low]
    # When
    client.submit("hello", agent_id="b", priority="URGENT")
    # Then
    chunks = [attempts.emit(one, slots=4, yields_to_bands_below=3) for one in claims]
    assert [ledger.run(chunk) for chunk in chunks].count("yield") == 1
