"""Jobs that were given up: found, explained, tried again, dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ledger import dead, keys
from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.settings import load_settings
from producer import Job, JobNotFound, LLMClient
from tests.conftest import StartWorkers
from tests.support.command import apexq, assert_one_line

SECRET = "the-aardvark-sings-at-noon"
FAILS_ONCE = f"{SECRET} [[mock tokens=9 error_at=4 errors=1]]"


@pytest.fixture
def hasty(redis_url: str) -> Iterator[LLMClient]:
    """A client whose jobs have one attempt each."""
    with LLMClient(load_settings(env={}, redis_url=redis_url, max_attempts=1)) as client:
        yield client


def given_up(client: LLMClient, **options: Any) -> Job:
    """A job that has failed in its only attempt."""
    job = client.submit(FAILS_ONCE, **{"agent_id": "a", "instance": "inst0", **options})
    assert job.outcome(timeout=20).state is State.DEAD
    return job


def listed(url: str, *flags: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        apexq("dead", "list", "--json", *flags, url=url).stdout
    )["dead"]
    return found


def test_they_are_listed_the_latest_first_by_instance_and_tenant(
    hasty: LLMClient, redis_url: str, start_workers: StartWorkers
) -> None:
    # Given
    start_workers("inst1")
    first = given_up(hasty)
    second = given_up(hasty, tenant="acme")
    third = given_up(hasty, instance="inst1")
    hasty.complete("hello", agent_id="a")

    # Then
    assert [one["job_id"] for one in listed(redis_url)] == [third.id, second.id, first.id]
    assert [one["job_id"] for one in listed(redis_url, "--tenant", "acme")] == [second.id]
    assert [one["job_id"] for one in listed(redis_url, "--instance", "inst1")] == [third.id]
    assert [one["job_id"] for one in listed(redis_url, "--limit", "1")] == [third.id]
    shown = apexq("dead", "list", url=redis_url).stdout
    assert third.id in shown
    assert "The mock was told to fail here" in shown
    assert SECRET not in shown


def test_one_is_shown_with_what_became_of_each_attempt(redis_url: str) -> None:
    # Given a job with two attempts, of which one lost its process
    poison = f"{SECRET} [[mock tokens=9 crash_at=2 crashes=1 error_at=4 errors=9]]"
    with LLMClient(load_settings(env={}, redis_url=redis_url, max_attempts=2)) as client:
        job = client.submit(poison, agent_id="a", instance="inst0")
        assert job.outcome(timeout=20).state is State.DEAD

    # When
    shown = apexq("dead", "show", job.id, url=redis_url)
    as_json = json.loads(apexq("dead", "show", job.id, "--json", url=redis_url).stdout)

    # Then
    reasons = ["its process was lost", "The mock was told to fail here"]
    assert [one["reason"] for one in as_json["history"]] == reasons
    assert [one["attempt"] for one in as_json["history"]] == [1, 2]
    assert {one["instance"] for one in as_json["history"]} == {"inst0"}
    assert as_json["history"][0]["at"] < as_json["history"][1]["at"]
    assert len(as_json["record"]["text"].split()) == 4
    assert all(reason in shown.stdout for reason in reasons)
    assert SECRET not in shown.stdout


def test_a_replayed_one_is_a_new_job_that_holds_tokens_anew(
    hasty: LLMClient, redis_url: str
) -> None:
    # Given
    job = given_up(hasty, tenant="acme")

    # When
    said = apexq("dead", "replay", job.id, url=redis_url, APEX_MAX_ATTEMPTS="2")

    # Then
    new_id = said.stdout.split()[-1].rstrip(".")
    assert said.stdout == f"Job {job.id} is tried again as {new_id}.\n"
    again = hasty.job(new_id).result(timeout=20)
    assert (again.attempt, len(again.text.split())) == (2, 9)
    assert job.outcome().state is State.DEAD
    with LLMClient(hasty.settings, tenant="acme") as acme:
        used = job.outcome().usage.total_tokens + again.usage.total_tokens
        assert acme.get_stats() == {"tokens_used": used, "tokens_held": 0, "budget": None}


def test_a_replay_that_no_budget_has_room_for_is_refused(hasty: LLMClient, redis_url: str) -> None:
    job = given_up(hasty)
    hasty.set_budget("tenant", "default", tokens=10)

    said = apexq("dead", "replay", job.id, url=redis_url)

    assert said.returncode == 4
    assert_one_line(said.stderr, "tokens")


def test_a_dropped_one_leaves_nothing(hasty: LLMClient, redis_url: str, ledger: Ledger) -> None:
    job = given_up(hasty)

    said = apexq("dead", "drop", job.id, url=redis_url)

    assert said.stdout == f"Job {job.id} is removed.\n"
    assert listed(redis_url) == []
    with pytest.raises(JobNotFound):
        job.outcome()
    assert list(ledger.redis.scan_iter(f"*{job.id}*")) == []
    assert ledger.redis.exists(keys.DEAD) == 0


@pytest.mark.parametrize("what", ["show", "replay", "drop"])
def test_a_job_that_is_not_dead_is_left_alone(client: LLMClient, redis_url: str, what: str) -> None:
    job = client.submit("hello", agent_id="a")
    job.result(timeout=20)

    said = apexq("dead", what, job.id, url=redis_url)
    unheard_of = apexq("dead", what, "unheard-of", "--json", url=redis_url)

    assert said.returncode == unheard_of.returncode == 6
    assert_one_line(said.stderr, f"Job {job.id} is succeeded, not dead")
    assert json.loads(unheard_of.stdout)["error"]["code"] == "job_not_found"
    assert job.result().state is State.SUCCEEDED


def test_the_oldest_notes_go_first(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead, "MOST_DEAD", 3)

    for number in range(5):
        ledger.run(dead.note_dead(f"job-{number}", keep_ms=60_000))

    assert ledger.run(dead.read_dead(first=0, count=9)) == ["job-4", "job-3", "job-2"]
    assert 0 < ledger.redis.pttl(keys.DEAD) <= 60_000


def test_where_nothing_was_given_up_nothing_is_listed(redis_url: str) -> None:
    said = apexq("dead", "list", url=redis_url)

    assert (said.returncode, said.stdout) == (0, "No job was given up.\n")
