"""Where an instance has several slots, a turn of a session waits for the one before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from ledger import jobs, keys
from ledger.jobs import Claim, Noop
from ledger.listing import read_lineup
from ledger.redis_client import Ledger
from ledger.rehoming import retire
from ledger.steps import drive
from producer import Job, LLMClient
from routing.registry import read_registry
from routing.rehoming import rehome
from tests.support import attempts
from tests.support.conversation import ASKED
from tests.support.fleet import come, go, stop
from tests.support.hands import LISTS
from tests.support.registering import register


class Scene:
    """An instance of several slots whose worker is the test."""

    def __init__(self, client: LLMClient, ledger: Ledger) -> None:
        self.client, self.ledger = client, ledger

    def submit(self, **options: Any) -> Job:
        return self.client.submit("hello", **{**ASKED, **options})

    def claim(self, job: Job, lease_ms: int = 60_000) -> Claim | Noop:
        return self.ledger.run(attempts.claim(job.id, lease_ms=lease_ms))

    def run(self, job: Job, **options: Any) -> Claim:
        return attempts.claimed(self.ledger, job.id, **options)

    def finish(self, claim: Claim) -> None:
        assert self.ledger.run(attempts.finish(claim))

    def empty_lists(self) -> None:
        self.ledger.redis.delete(*LISTS)

    def woken(self) -> list[str]:
        """The ids in Celery's lists, in the order in which Celery pops them."""
        lists: Any = [self.ledger.redis.lrange(name, 0, -1) for name in LISTS]
        return [json.loads(raw)["id"] for one in lists for raw in reversed(one)]

    def release(self) -> list[str]:
        """The jobs that are woken now."""
        self.empty_lists()
        self.ledger.run(jobs.release("inst0"))
        return self.woken()

    def held_back(self) -> set[str]:
        found: Any = self.ledger.redis.zrange(keys.held_back("inst0"), 0, -1)
        return set(found)


@pytest.fixture
def scene(client: LLMClient, redis_url: str) -> Iterator[Scene]:
    with closing(Ledger(redis_url)) as ledger:
        register(ledger, slots=4)
        yield Scene(client, ledger)


def test_a_turn_is_held_back_while_another_one_of_its_session_runs(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit()
    running = scene.run(first)

    assert scene.claim(second) == Noop("queued")
    assert scene.release() == []
    assert second.status().state == "queued"

    scene.finish(running)
    assert scene.release() == [second.id]
    scene.run(second)


def test_turns_that_were_held_back_follow_one_another_in_their_order(scene: Scene) -> None:
    turns = [scene.submit() for _ in range(4)]
    running = scene.run(turns[0])
    for turn in turns[1:]:
        assert scene.claim(turn) == Noop("queued")

    for turn in turns[1:]:
        scene.finish(running)
        assert scene.release() == [turn.id]
        running = scene.run(turn)
    assert scene.held_back() == set()


@pytest.mark.parametrize(
    "other",
    [{"agent_id": "b"}, {"tenant": "t"}, {"session_id": "s2"}, {"history": False}],
)
def test_what_is_not_of_the_session_or_no_turn_is_not_held_back(
    scene: Scene, other: dict[str, Any]
) -> None:
    first, second = scene.submit(), scene.submit(**other)

    scene.run(first)
    scene.run(second)


def test_a_better_job_of_the_session_does_not_wait_for_a_worse_one(scene: Scene) -> None:
    low, urgent = scene.submit(priority="LOW"), scene.submit(priority="URGENT")

    scene.run(low)
    scene.run(urgent)


def test_a_turn_that_was_cancelled_while_it_was_held_back_is_let_go(scene: Scene) -> None:
    first, second, third = (scene.submit() for _ in range(3))
    running = scene.run(first)
    assert scene.claim(second) == scene.claim(third) == Noop("queued")

    assert second.cancel() == "cancelled"

    scene.finish(running)
    assert scene.release() == [third.id]
    assert scene.held_back() == set()


def test_a_turn_whose_lease_has_run_out_holds_nobody_back(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit()
    scene.run(first, lease_ms=-1)

    scene.run(second)


def test_a_claim_that_is_repeated_answers_the_same(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit()
    scene.run(first)

    assert scene.claim(second) == scene.claim(second) == Noop("queued")
    assert scene.held_back() == {second.id}


def test_a_turn_that_is_held_back_still_counts_as_waiting(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit()
    scene.run(first)
    scene.claim(second)

    lineup = scene.ledger.run(read_lineup("inst0", first=0, count=10))

    assert (lineup.running, lineup.woken, lineup.total) == ((first.id,), (second.id,), 1)


def closed(ledger: Ledger) -> dict[str, str]:
    """Of each instance why its agents are served elsewhere; empty: they are not."""
    return {entry.name: entry.closed for entry in ledger.run(read_registry()).entries}


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_turn_that_is_held_back_does_not_keep_an_absent_instance_open(
    scene: Scene, cancelled: bool
) -> None:
    first, second = scene.submit(instance="inst0"), scene.submit(instance="inst0")
    scene.run(first)
    scene.claim(second)
    if cancelled:
        second.cancel()
    come(scene.ledger, "inst1")
    drive(scene.ledger, rehome(60))  # it joins
    go(scene.ledger, "inst0")

    drive(scene.ledger, rehome(60))

    assert closed(scene.ledger) == {"inst0": "absent", "inst1": ""}


def test_a_turn_that_is_held_back_is_one_job_of_its_instances_load(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit()
    scene.run(first)
    scene.claim(second)

    (entry,) = scene.ledger.run(read_registry()).entries

    assert (entry.load.waiting, entry.load.running) == (1, 1)


def test_a_turn_that_was_cancelled_while_it_was_held_back_keeps_no_instance(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit()
    running = scene.run(first)
    scene.claim(second)
    second.cancel()
    scene.finish(running)
    scene.client.drain("inst0")
    stop(scene.ledger, "inst0")

    assert scene.ledger.run(retire("inst0"))
    assert scene.held_back() == set()


def test_a_job_whose_prompt_speaks_of_history_is_none(scene: Scene) -> None:
    asked = {**ASKED, "history": False}
    turns = [scene.client.submit('{"history":true}', **asked) for _ in range(2)]

    for turn in turns:
        scene.run(turn)
