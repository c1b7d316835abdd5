"""Jobs that run out of time: deadlines, limits in the queue, limits of tokens."""

from __future__ import annotations

import pytest

from ledger import jobs, keys
from ledger.messages import State
from tests.support.runner_scene import Scene, yielding
from tests.support.scripted import PROMPT_TOKENS, STOP, Script, pieces
from tests.support.waiting import eventually
from workers.backends import Piece
from workers.context import WorkerContext
from workers.lost import settle_lost
from workers.runner import Outcome

# Out of time


def test_a_job_past_its_deadline_fails_and_keeps_what_it_made(scene: Scene) -> None:
    job = scene.submit(timeout_s=0.001)

    def late() -> None:
        eventually(lambda: scene.facts(job).now_ms > scene.facts(job).deadline_ms)

    backend = Script([late, Piece("a"), scene.delivered(job, "a"), *pieces("b", "c"), STOP])

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    record = scene.record(job)
    assert record.error is not None
    assert (record.error["code"], record.error["message"]) == ("deadline_exceeded", why)
    assert record.text == scene.text(job)
    assert record.text.startswith("a")
    assert scene.charged == (PROMPT_TOKENS + len(record.text), 0)


def test_a_job_that_is_complete_at_its_deadline_succeeds(scene: Scene) -> None:
    job = scene.submit(timeout_s=0.001)

    def late() -> None:
        eventually(lambda: scene.facts(job).now_ms > scene.facts(job).deadline_ms)

    assert scene.run(job, Script([late, Piece("all", 1, "stop")]))[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == "all"


# Waited for too long


def test_a_job_that_waited_past_its_limit_expires_before_a_token_is_made(scene: Scene) -> None:
    job = scene.submit(queue_timeout_s=0.001)
    eventually(lambda: scene.facts(job).now_ms > scene.facts(job).submitted_ms + 1)
    backend = Script(pieces("a"))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.EXPIRED
    assert "its 0.001 s; raise queue_timeout_s" in why
    assert backend.runs == []
    assert scene.state(job) is State.EXPIRED
    assert scene.charged == (0, 0)


def test_a_job_that_was_served_in_time_does_not_expire_when_it_has_made_way(scene: Scene) -> None:
    job, backend = yielding(scene, queue_timeout_s=60)
    scene.run(job, backend)
    request = scene.ledger.redis.get(keys.request(job.id))
    shorter = str(request).replace('"queue_timeout_s":60.0', '"queue_timeout_s":0.001')
    assert shorter != request
    scene.ledger.redis.set(keys.request(job.id), shorter)

    assert scene.run(job, backend)[0] in (Outcome.SUCCEEDED, Outcome.REQUEUED)


# Stopped from outside: the guardian told the ledger why before it ended the process


@pytest.mark.parametrize("limit", ["first_token_timeout_s", "token_timeout_s"])
def test_a_job_whose_process_was_ended_for_a_limit_fails_with_it(
    scene: Scene, parent: WorkerContext, limit: str
) -> None:
    job = scene.submit(max_tokens=10, **{limit: 7})
    claim = scene.take(job)
    assert scene.ledger.run(jobs.stop(job.id, fence=claim.fence, why=limit))

    ended, why = settle_lost(parent, job.id)

    assert ended
    assert f"7 s; raise {limit}" in why
    assert scene.state(job) is State.FAILED
    assert scene.charged == (0, 0)


def test_a_job_that_is_told_of_its_limit_and_still_makes_a_token_ends_with_it(
    scene: Scene,
) -> None:
    job = scene.submit(max_tokens=10, token_timeout_s=7)

    def stop() -> None:
        fence = scene.facts(job).fence
        assert scene.ledger.run(jobs.stop(job.id, fence=fence, why="token_timeout_s"))

    outcome, why = scene.run(
        job, Script([Piece("a"), scene.delivered(job, "a"), stop, Piece("b"), Piece("c")])
    )

    assert outcome is Outcome.FAILED
    assert "No further token came within 7 s" in why
    assert scene.record(job).text.startswith("ab")


def test_a_job_is_not_stopped_under_a_fence_that_it_no_longer_has(scene: Scene) -> None:
    job = scene.submit()
    claim = scene.take(job)
    scene.give_back(job)

    assert not scene.ledger.run(jobs.stop(job.id, fence=claim.fence, why="timeout_s"))
    assert scene.facts(job).stop == ""
