"""Processes that are lost: what becomes of their jobs."""

from __future__ import annotations

import pytest

from ledger import keys
from ledger.messages import State
from tests.support.runner_scene import Scene
from tests.support.scripted import PROMPT_TOKENS, Letters, Script, pieces
from tests.support.waiting import eventually
from workers.backends import Piece
from workers.context import WorkerContext
from workers.lost import settle_lost
from workers.runner import Outcome


def test_a_job_whose_process_is_lost_gets_its_next_attempt(
    scene: Scene, parent: WorkerContext
) -> None:
    job = scene.submit(max_tokens=10)
    scene.take(job)

    assert settle_lost(parent, job.id)[0] is False

    assert (scene.state(job), scene.facts(job).failures) == (State.QUEUED, 1)
    assert scene.run(job, Letters("abc"))[0] is Outcome.SUCCEEDED
    assert scene.record(job).attempt == 2


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(SystemExit(-241), id="SIGTERM"),
        pytest.param(SystemExit(3), id="sys.exit"),
        pytest.param(KeyboardInterrupt(), id="SIGINT"),
    ],
)
def test_a_process_that_is_told_to_end_leaves_its_job_to_the_next_attempt(
    scene: Scene, parent: WorkerContext, said: BaseException
) -> None:
    job = scene.submit(max_tokens=10)

    with pytest.raises(type(said)):
        scene.run(job, Script([*pieces(*"abc"), said]))

    assert settle_lost(parent, job.id)[0] is False
    assert scene.run(job, Letters("abcdef"))[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == scene.text(job) == "abcdef"
    assert scene.record(job).attempt == 2


def test_a_job_that_was_lost_too_often_is_dead(scene: Scene, parent: WorkerContext) -> None:
    job = scene.submit(max_tokens=10)
    for attempt in range(1, scene.settings.max_attempts + 1):
        scene.take(job, nonce=f"attempt {attempt}")
        ended, why = settle_lost(parent, job.id)

    assert ended
    assert scene.state(job) is State.DEAD
    assert "after 3 attempts" in why
    assert scene.charged == (0, 0)


def test_a_cancelled_job_whose_process_is_lost_keeps_what_it_made(
    scene: Scene, parent: WorkerContext
) -> None:
    job = scene.submit(max_tokens=10)
    scene.lose(job, Piece("abc", 3))
    scene.take(job)
    assert job.cancel() == "stopping"

    assert settle_lost(parent, job.id)[0] is True

    assert (scene.record(job).state, scene.record(job).text) == (State.CANCELLED, "abc")
    assert scene.charged == (PROMPT_TOKENS + 3, 0)


def test_a_job_past_its_deadline_whose_process_is_lost_fails(
    scene: Scene, parent: WorkerContext
) -> None:
    job = scene.submit(timeout_s=0.001)
    scene.take(job)
    eventually(lambda: scene.facts(job).now_ms > scene.facts(job).deadline_ms)

    assert settle_lost(parent, job.id)[0] is True

    assert scene.state(job) is State.FAILED


def test_a_job_that_ended_or_is_another_workers_is_left_alone(
    scene: Scene, parent: WorkerContext
) -> None:
    ended, taken = scene.submit(), scene.submit()
    scene.run(ended, Script(pieces("a")))
    scene.take(taken)
    other = WorkerContext(parent.settings, parent.spec, "another", scene.ledger)
    before = [scene.facts(ended).state, scene.facts(taken).fence]

    for job in (ended, taken):
        assert settle_lost(other, job.id)[0] is False

    assert [scene.facts(ended).state, scene.facts(taken).fence] == before
    assert scene.state(taken) is State.RUNNING


def test_a_job_that_runs_in_another_process_by_now_is_left_alone(
    scene: Scene, parent: WorkerContext
) -> None:
    job = scene.submit()
    scene.take(job)
    pid = scene.facts(job).pid

    assert settle_lost(parent, job.id, pid + 1)[0] is False
    assert scene.state(job) is State.RUNNING

    assert settle_lost(parent, job.id, pid)[0] is False
    assert scene.state(job) is State.QUEUED


def test_a_job_whose_process_is_lost_before_the_claim_is_woken_again(
    scene: Scene, parent: WorkerContext
) -> None:
    # Given a wake-up that a child has taken
    job = scene.submit()
    normal = f"{keys.queue('inst0')}{keys.PRIORITY_SEPARATOR}6"
    assert job.id in scene.ledger.redis.rpop(normal)

    # When
    settle_lost(parent, job.id)

    # Then
    assert job.id in "".join(scene.ledger.redis.lrange(normal, 0, -1))
