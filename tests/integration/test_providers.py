"""Providers that take no more requests, or do not have the model."""

from __future__ import annotations

import json

from ledger import status
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from tests.conftest import StartWorkers
from tests.support.waiting import eventually

MODELS = [{"name": "inst0", "model": "big"}, {"name": "inst1", "model": "small"}]


def ended_ms(ledger: Ledger, job: Job) -> int:
    entry = ledger.run(status.read_job(job.id))
    assert entry is not None
    return entry.facts.ended_ms


def test_an_instance_rests_where_its_provider_takes_no_more_and_then_serves_all_in_order(
    start_workers: StartWorkers, ledger: Ledger, client: LLMClient
) -> None:
    # Given a job whose provider refuses it twice, and others behind it
    start_workers("inst0", env={"APEX_LLM_INSTANCES": "1"})
    refused = "[[mock limits=2 retry_after_s=1 tokens=3]]"
    jobs = [client.submit(text, agent_id="a") for text in (refused, "hi", "hello")]
    # Then all wait for the provider
    eventually(lambda: all("its instance rests for" in job.status().why for job in jobs))
    # And end in their order, in one attempt each
    assert [job.result(timeout=30).attempt for job in jobs] == [1, 1, 1]
    ends = [ended_ms(ledger, job) for job in jobs]
    assert ends == sorted(ends)


def test_a_job_goes_on_with_the_next_model_of_its_chain(
    start_workers: StartWorkers, client: LLMClient
) -> None:
    env = {
        "APEX_LLM_INSTANCES": json.dumps(MODELS),
        "APEX_FALLBACKS": json.dumps({"big": ["small"]}),
    }
    start_workers("inst0", "inst1", env=env)

    job = client.submit(
        '[[mock unknown_to=big say="from the small one"]]', agent_id="a", model="big"
    )

    result = job.result(timeout=30)
    assert (result.text, result.instance) == ("from the small one", "inst1")
