"""APEX_AFFINITY=bounded: a job goes elsewhere where that is far sooner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import LLMClient
from tests.support.fleet import come, instance_of

RUN_MS = 10_000


@pytest.fixture
def bounded(settings: Settings, ledger: Ledger) -> Iterator[LLMClient]:
    """A client with two instances, on which a job runs for ten seconds."""
    come(ledger, "inst0", "inst1")
    for name in ("inst0", "inst1"):
        ledger.redis.hset(keys.entry(name), "run_ms", RUN_MS)
    with LLMClient(settings.model_copy(update={"affinity": "bounded"})) as client:
        yield client


def where(ledger: Ledger, client: LLMClient, count: int, **options: object) -> list[str]:
    """The instances that get so many of the Planner's jobs, whose home is inst0."""
    jobs = [client.submit("hi", agent_id="Planner", **options) for _ in range(count)]
    return [instance_of(ledger, job.id) for job in jobs]


def test_jobs_stay_at_home_until_it_has_far_more_to_do(ledger: Ledger, bounded: LLMClient) -> None:
    chosen = where(ledger, bounded, 6)
    assert chosen[0] == "inst0"
    assert "inst1" in chosen
    assert chosen.count("inst0") > chosen.count("inst1")


def test_strict_is_the_default(ledger: Ledger, bounded: LLMClient, client: LLMClient) -> None:
    assert set(where(ledger, client, 6)) == {"inst0"}


def test_a_bulk_submit_spills_over_alike(ledger: Ledger, bounded: LLMClient) -> None:
    many = bounded.submit_many([{"prompt": "hi", "agent_id": "Planner"}] * 20)
    assert {instance_of(ledger, job.id) for job in many} == {"inst0", "inst1"}


def test_a_long_prompt_stays_at_home_longer(ledger: Ledger, bounded: LLMClient) -> None:
    many = bounded.submit_many([{"prompt": "x" * 400_000, "agent_id": "Planner"}] * 20)
    assert {instance_of(ledger, job.id) for job in many} == {"inst0"}


def test_turns_of_a_session_stay_at_home(ledger: Ledger, bounded: LLMClient) -> None:
    assert set(where(ledger, bounded, 6, session_id="s", history=True)) == {"inst0"}


def test_a_job_for_one_instance_alone_goes_there(ledger: Ledger, bounded: LLMClient) -> None:
    assert set(where(ledger, bounded, 6, instance="inst1")) == {"inst1"}
