"""A job whose model's provider takes no more requests for now."""

from __future__ import annotations

import pytest

from ledger import keys
from ledger.errors import JobExpired, ServerAway
from ledger.messages import State
from tests.support.hands import Hands
from tests.support.provider import limited, pass_the_rest, refuse, rest_s, take_wake_ups
from tests.support.registering import OWNER
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import Letters, Script
from workers.backends import Piece
from workers.reconciler import Reconciler
from workers.runner import Outcome


def test_a_job_that_the_provider_refuses_waits_and_spends_no_attempt(scene: Scene) -> None:
    # Given
    job = scene.submit()
    # When
    outcome, why = refuse(scene, job)
    # Then
    assert outcome is Outcome.REQUEUED
    assert "slow down" in why
    facts = scene.facts(job)
    assert (facts.state, facts.failures) == (State.QUEUED, 0)
    (event,) = scene.events(job)
    assert (event.kind, event.failed) == ("requeued", False)
    assert "slow down" in event.reason
    # When its time comes
    pass_the_rest(scene)
    Hands(scene.ledger).serve(1)
    assert scene.state(job) is State.SUCCEEDED


def test_a_job_that_is_refused_often_is_not_given_up(scene: Scene) -> None:
    job = scene.submit()
    for _ in range(scene.settings.max_attempts + 2):
        assert refuse(scene, job)[0] is Outcome.REQUEUED
        pass_the_rest(scene)

    assert scene.run(job, Letters("abc"))[0] is Outcome.SUCCEEDED
    assert scene.record(job).attempt == 1


def test_its_readers_are_told_once_that_it_waits(scene: Scene) -> None:
    job = scene.submit()
    for _ in range(3):
        refuse(scene, job)
        pass_the_rest(scene)

    assert [event.kind for event in scene.events(job)] == ["requeued"]


def test_it_goes_on_from_its_text(scene: Scene) -> None:
    job = scene.submit()
    scene.run(job, Script([Piece("a"), Piece("b"), limited()]))
    pass_the_rest(scene)
    backend = Letters("abcd")

    scene.run(job, backend)

    assert backend.runs[0].continue_from == "ab"
    assert scene.record(job).text == "abcd"


def test_a_job_whose_models_server_is_away_waits_for_it_and_spends_no_attempt(
    scene: Scene,
) -> None:
    # Given
    job = scene.submit()
    away = ServerAway(backend="mock", said="connection refused")
    for _ in range(scene.settings.max_attempts + 1):
        # When
        outcome, why = scene.run(job, Script([away]))
        # Then
        assert outcome is Outcome.REQUEUED
        assert "connection refused" in why
        assert scene.facts(job).failures == 0
        pass_the_rest(scene)
    assert scene.run(job, Letters("abc"))[0] is Outcome.SUCCEEDED
    assert (scene.record(job).text, scene.record(job).attempt) == ("abc", 1)


def test_its_time_in_the_queue_goes_on(scene: Scene) -> None:
    # Given a job with such a limit that was refused
    job = scene.submit(queue_timeout_s=100)
    refuse(scene, job, retry_after_s=3000)
    reconciler = Reconciler(scene.ledger, OWNER, scene.settings)
    reconciler.tick()
    assert scene.state(job) is State.QUEUED
    # When its limit passes while the instance rests
    scene.ledger.redis.hincrby(keys.job(job.id), "submitted", -100_000)
    scene.ledger.redis.zincrby(keys.EXPIRING, -100_000, job.id)
    reconciler.tick()
    # Then
    with pytest.raises(JobExpired):
        job.result(timeout=5)
    assert scene.charged == (0, 0)
    assert scene.ledger.redis.zcard(keys.woken("inst0")) == 0


def test_a_job_that_has_made_something_does_not_expire_any_more(scene: Scene) -> None:
    job = scene.submit(queue_timeout_s=100)

    scene.run(job, Script([Piece("a"), limited()]))

    assert scene.ledger.redis.zscore(keys.EXPIRING, job.id) is None


def test_a_job_does_not_go_round_for_ever(scene: Scene) -> None:
    # Given a job that was refused first as long ago as ended jobs are kept
    job = scene.submit()
    refuse(scene, job)
    pass_the_rest(scene)
    long_ms = int(scene.settings.retention_s * 1000)
    scene.ledger.redis.hincrby(keys.job(job.id), "rested", -long_ms)
    # When
    outcome, why = refuse(scene, job)
    # Then
    assert outcome is Outcome.FAILED
    assert "slow down" in why
    error = scene.record(job).error
    assert error is not None
    assert error["code"] == "rate_limited"
    assert (error["facts"]["said"], error["facts"]["retriable"]) == ("slow down", True)


def test_a_job_that_is_cancelled_meanwhile_is_gone(scene: Scene) -> None:
    job = scene.submit()
    refuse(scene, job)

    assert job.cancel() == "cancelled"

    assert scene.ledger.redis.zcard(keys.woken("inst0")) == 0
    pass_the_rest(scene)
    assert take_wake_ups(scene) == []


def test_a_job_that_was_cancelled_as_it_was_refused_ends(scene: Scene) -> None:
    job = scene.submit()

    outcome, _ = scene.run(job, Script([job.cancel, limited()]))

    assert outcome is Outcome.CANCELLED
    assert rest_s(scene) == 0


def test_a_reply_that_is_lost_changes_nothing(scene: Scene) -> None:
    job = scene.submit()

    outcome, _ = scene.run(job, Script([limited()]), Interposed(scene.ledger, lost={"requeue": 2}))

    assert outcome is Outcome.REQUEUED
    assert len(scene.events(job)) == 1
