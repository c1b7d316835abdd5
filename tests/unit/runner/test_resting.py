"""Instances that rest because their model's provider takes no more requests for now."""

from __future__ import annotations

import json

import pytest

from ledger import instances, jobs, keys
from ledger.errors import JobExpired, RateLimited, ServerAway
from ledger.jobs import Noop
from ledger.messages import State
from ledger.overview import read_entries
from ledger.recovery import mend
from producer import Job
from producer.cli.instances import read_instances
from tests.support import attempts
from tests.support.fleet import come
from tests.support.hands import LISTS, Hands
from tests.support.registering import OWNER, register
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import STOP, Letters, Script
from workers.backends import Piece
from workers.reconciler import Reconciler
from workers.runner import Outcome

ENTRY = keys.entry("inst0")


def limited(retry_after_s: float | None = 12, said: str = "slow down") -> RateLimited:
    return RateLimited(backend="mock", retry_after_s=retry_after_s, said=said)


def refuse(scene: Scene, job: Job, retry_after_s: float | None = 12) -> tuple[Outcome, str]:
    """The provider refuses a job before it makes anything; its wake-up was taken."""
    scene.ledger.redis.rpop(keys.queue("inst0") + f"{keys.PRIORITY_SEPARATOR}6")
    return scene.run(job, Script([limited(retry_after_s)]))


def rest_s(scene: Scene) -> float:
    return scene.ledger.run(read_entries(["inst0"]))[0].rest_s


def pass_the_rest(scene: Scene) -> None:
    """Its time comes, and whoever reconciles looks."""
    if scene.ledger.redis.hexists(ENTRY, "rest"):
        scene.ledger.redis.hset(ENTRY, "rest", 1)
    scene.ledger.run(mend("inst0", patience_ms=60_000))


def take_wake_ups(scene: Scene) -> list[str]:
    """Takes those in Celery's lists, and is refused each of the jobs; their ids."""
    taken = []
    for name in LISTS:
        while (raw := scene.ledger.redis.rpop(name)) is not None:
            taken.append(json.loads(raw)["id"])
            assert scene.ledger.run(attempts.claim(taken[-1])) == Noop("queued")
    return taken


# The job


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


# The instance


@pytest.mark.parametrize(
    ("said_s", "rests_s"), [(12, 12), (0.5, 0.5), (None, 5), (0, 5), (-3, 5), (100_000, 3600)]
)
def test_how_long_it_rests(scene: Scene, said_s: float | None, rests_s: float) -> None:
    refuse(scene, scene.submit(), said_s)

    assert rests_s - 2 <= rest_s(scene) <= rests_s


def test_the_longest_rest_counts(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit(agent_id="b")
    claim = scene.take(second)

    refuse(scene, first, 3000)
    call = attempts.requeue(claim, failed=False, rest=jobs.Rest(1000, patience_ms=1000))
    assert scene.ledger.run(call) == "queued"

    assert rest_s(scene) > 2000


def test_while_it_rests_it_starts_no_job_and_then_all_in_their_order(scene: Scene) -> None:
    # Given jobs that wait, of which the first is refused
    first, *others = [scene.submit(agent_id="a") for _ in range(5)]
    urgent = scene.submit(agent_id="b", priority="URGENT")
    refuse(scene, first)
    # When the wake-ups that are under way are taken, and more jobs come
    assert take_wake_ups(scene) == [urgent.id, others[0].id, others[1].id]
    others.append(scene.submit(agent_id="a"))
    scene.ledger.run(mend("inst0", patience_ms=0))
    # Then none is woken
    assert take_wake_ups(scene) == []
    # When it has rested
    pass_the_rest(scene)
    # Then they are served as they would have been
    expected = [urgent.id, first.id, *(job.id for job in others)]
    assert Hands(scene.ledger).serve(7) == expected
    assert not scene.ledger.redis.hexists(ENTRY, "rest")


def test_a_job_that_comes_just_after_the_rest_does_not_overtake(scene: Scene) -> None:
    first = scene.submit()
    refuse(scene, first)
    scene.ledger.redis.hset(ENTRY, "rest", 1)

    second = scene.submit()

    assert take_wake_ups(scene) == []
    pass_the_rest(scene)
    assert Hands(scene.ledger).serve(2) == [first.id, second.id]


def test_other_jobs_that_run_there_go_on(scene: Scene) -> None:
    register(scene.ledger, slots=2)
    other, job = scene.submit(agent_id="b"), scene.submit()
    backend = Script([Piece("a"), lambda: (refuse(scene, job), None)[1], Piece("b"), STOP])

    assert scene.run(other, backend)[0] is Outcome.SUCCEEDED

    assert scene.record(other).text == "ab"
    assert rest_s(scene) > 0


def test_a_drained_instance_stays_so_when_its_rest_is_over(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    job = scene.submit()
    refuse(scene, job)
    scene.client.drain("inst0")

    pass_the_rest(scene)

    assert take_wake_ups(scene) == []
    scene.client.resume("inst0")
    assert Hands(scene.ledger).serve(1) == [job.id]


def test_an_instance_that_is_resumed_still_rests(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    job = scene.submit()
    refuse(scene, job)
    scene.client.drain("inst0")

    scene.client.resume("inst0")

    assert rest_s(scene) > 0
    assert take_wake_ups(scene) == []
    pass_the_rest(scene)
    assert Hands(scene.ledger).serve(1) == [job.id]


def test_a_drained_instances_jobs_go_elsewhere_also_while_it_rests(scene: Scene) -> None:
    come(scene.ledger, "inst0", "inst1")
    job = scene.submit(agent_id="Planner")
    refuse(scene, job)

    scene.client.drain("inst0")

    assert scene.facts(job).instance == "inst1"


def test_a_worker_that_is_started_again_still_rests(scene: Scene) -> None:
    refuse(scene, scene.submit())

    register(scene.ledger)
    scene.ledger.run(instances.set_state("inst0", OWNER, "ready"))

    assert rest_s(scene) > 0
    scene.submit(agent_id="b")
    assert take_wake_ups(scene) == []


def test_who_waits_is_told_why(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    job, other = scene.submit(), scene.submit(agent_id="b")

    refuse(scene, job)

    for one in (job, other):
        assert one.status().why == "its instance rests for 12 s: its provider takes no requests"


def test_people_see_that_it_rests_and_for_how_long(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    refuse(scene, scene.submit())

    (shown,) = read_instances(scene.ledger)

    assert (shown.state, shown.why) == ("resting", "rests for 12 s: its provider takes no requests")
    pass_the_rest(scene)
    (shown,) = read_instances(scene.ledger)
    assert (shown.state, shown.why) == ("ready", "")
